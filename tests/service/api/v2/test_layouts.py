"""Every layout that a model can have, through the official client, against the module itself."""

from collections.abc import Iterator

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient as Client
from tritonclient.http import InferenceServerException as Failed
from tritonclient.http import InferInput, InferRequestedOutput, InferResult

from carousel.models.repository import Repository
from carousel.models.row import Array
from tests.harness.layouts import LAYOUTS, minus_infinity
from tests.harness.live import Live
from tests.harness.programs import Arrays, Case, random_inputs
from tests.service.api.v2.oip import DATATYPES, state_to_protocol, to_protocol

CASES = {name.replace(" ", "-").replace(",", ""): make for name, make in LAYOUTS.items()} | {
    "minus-infinity": minus_infinity
}
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    """The modules."""
    return {name: make() for name, make in CASES.items()}


@pytest.fixture(scope="module")
def client(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service of all of them, by its official client."""
    folder = tmp_path_factory.mktemp("layouts")
    for name, case in cases.items():
        manifest, files = case.artifact(name=name, kinds=("onnx",))
        Repository(folder).add(manifest, files)
    with Live(folder) as service:
        client = Client(service.url.removeprefix("http://"))
        yield client
        client.close()


def _given(name: str, x: Array, *, binary: bool) -> InferInput:
    entry = InferInput(name, list(x.shape), DATATYPES[x.dtype.name])
    return entry.set_data_from_numpy(np.ascontiguousarray(x), binary_data=binary)


def _rows(case: Case) -> int:
    return 3 if case.spec.has_batch else 1


def _steps(case: Case) -> int:
    return 1 if case.spec.is_framed or not case.spec.has_time else 4


def _states(case: Case, rng: np.random.Generator) -> Arrays:
    states: Arrays = {}
    for each in case.spec.states:
        values = rng.standard_normal(each.session_shape) * 3
        states[each.name] = values.astype(each.dtype)
    return states


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("name", CASES)
def test_stateless_rows_and_states_in_the_models_own_layout(
    client: Client, cases: dict[str, Case], name: str, binary: bool
) -> None:
    """Rows with states of their own give what the module gives to each of them alone."""
    case, rng = cases[name], np.random.default_rng(5)
    spec, steps = case.spec, _steps(case)
    inputs = [random_inputs(spec, rng, steps) for _ in range(_rows(case))]
    states = [_states(case, rng) for _ in inputs]
    sent = [
        _given(
            each.name, to_protocol(spec, each, [row[each.name] for row in inputs]), binary=binary
        )
        for each in spec.sent_inputs
    ] + [
        _given(
            each.name, state_to_protocol(each, [row[each.name] for row in states]), binary=binary
        )
        for each in spec.states
    ]
    wanted = [each.name for each in (*spec.outputs, *spec.states)]
    asked = [InferRequestedOutput(each, binary_data=binary) for each in wanted]
    answer = client.infer(name, sent, outputs=asked)

    expected = [case.eager(x, steps, s) for x, s in zip(inputs, states, strict=True)]
    for each in spec.outputs:
        rows = [outputs[each.name] for outputs, _ in expected]
        _close(answer, each.name, to_protocol(spec, each, rows))
    for state in spec.states:
        rows = [after[state.name] for _, after in expected]
        _close(answer, state.name, state_to_protocol(state, rows))


@pytest.mark.parametrize("name", [each for each in CASES if each != "no-state-no-time"])
def test_a_sequence_of_every_layout(client: Client, cases: dict[str, Case], name: str) -> None:
    """Steps of a sequence, its states asked for on the way, are the module's one after another.
    States that never change come with the first.
    """
    case, rng = cases[name], np.random.default_rng(6)
    spec, steps, state = case.spec, _steps(case), case.start()
    fixed = [each for each in spec.states if each.fixed]
    state |= {each.name: _states(case, rng)[each.name] for each in fixed}
    wanted = [InferRequestedOutput(each.name) for each in (*spec.outputs, *spec.states)]
    for at in range(3):
        x = random_inputs(spec, rng, steps)
        sent = [
            _given(each.name, to_protocol(spec, each, [x[each.name]]), binary=True)
            for each in spec.sent_inputs
        ]
        if at == 0:
            sent += [
                _given(each.name, state_to_protocol(each, [state[each.name]]), binary=True)
                for each in fixed
            ]
        flags = {"sequence_id": name, "sequence_start": at == 0, "sequence_end": at == 2}
        answer = client.infer(name, sent, outputs=wanted, **flags)
        outputs, state = case.eager(x, steps, state)
        for each in spec.outputs:
            _close(answer, each.name, to_protocol(spec, each, [outputs[each.name]]))
        for after in spec.states:
            _close(answer, after.name, state_to_protocol(after, [state[after.name]]))


def test_a_sequence_begins_at_the_states_it_is_given(
    client: Client, cases: dict[str, Case]
) -> None:
    """A state that is set at the start and never changes, as an attention decoder's, is kept; the
    start is a repeat only with the same states.
    """
    name = "fixed-constant-whole"
    case, rng = cases[name], np.random.default_rng(7)
    spec, state = case.spec, _states(case, rng)
    x = random_inputs(spec, rng, 4)
    sent = [
        _given(each.name, to_protocol(spec, each, [x[each.name]]), binary=True)
        for each in spec.sent_inputs
    ]

    def states(given: Arrays) -> list[InferInput]:
        return [
            _given(each.name, state_to_protocol(each, [given[each.name]]), binary=True)
            for each in spec.states
        ]

    first = {"sequence_id": 1, "sequence_start": True, "parameters": {"position": 0}}
    answer = client.infer(name, sent + states(state), **first)
    outputs, after = case.eager(x, 4, state)
    _close(answer, "y", to_protocol(spec, spec.outputs[0], [outputs["y"]]))
    again = client.infer(name, sent + states(state), **first)
    assert again.get_response()["parameters"]["replayed"]
    answer = client.infer(name, sent, sequence_id=1)
    outputs, _ = case.eager(x, 4, after)
    _close(answer, "y", to_protocol(spec, spec.outputs[0], [outputs["y"]]))
    with pytest.raises(Failed, match="a sequence keeps its own"):
        client.infer(name, sent + states(state), sequence_id=1)
    other = client.infer(name, sent + states(_states(case, rng)), **first)
    assert other.get_response()["parameters"]["restarted"]


def test_what_is_not_finite_comes_as_words_that_the_client_reads(
    client: Client, cases: dict[str, Case]
) -> None:
    """A cache that begins at minus infinity, in JSON: there is no number for that."""
    case, rng = cases["minus-infinity"], np.random.default_rng(8)
    x = random_inputs(case.spec, rng, 1)
    sent = [_given("x", x["x"], binary=False)]
    asked = [InferRequestedOutput(name, binary_data=False) for name in ("y", "m")]
    answer = client.infer("minus-infinity", sent, outputs=asked)
    assert answer.get_response()["outputs"][0]["data"][:3] == ["-Infinity"] * 3
    outputs, state = case.eager(x, 1, case.start())
    assert list(np.asarray(state["m"], "f4") == -np.inf) == [True] * 3 + [False]
    _close(answer, "y", outputs["y"])
    again = [_given("x", x["x"], binary=False), _given("m", answer.as_numpy("m"), binary=True)]
    outputs, _ = case.eager(x, 1, state)
    _close(client.infer("minus-infinity", again), "y", outputs["y"])


@pytest.mark.parametrize("name", CASES)
def test_metadata_says_how_tensors_stand(client: Client, cases: dict[str, Case], name: str) -> None:
    """Datatypes and axes of what a request takes and gives, -1 for what may vary."""
    spec = cases[name].spec
    shown = client.get_model_metadata(name)
    assert (shown["name"], shown["versions"]) == (name, ["1"])
    assert shown["platform"] == "onnxruntime_onnx"
    for kind, tensors in (("inputs", spec.sent_inputs), ("outputs", spec.outputs)):
        assert [each["name"] for each in shown[kind]] == [each.name for each in tensors]
        for entry, each in zip(shown[kind], tensors, strict=True):
            assert entry["datatype"] == DATATYPES[each.dtype]
            num_varying = sum(not isinstance(axis, int) for axis in each.axes)
            sizes = [axis for axis in each.axes if isinstance(axis, int)]
            assert entry["shape"] == [-1] * num_varying + sizes
    for entry, state in zip(shown["states"], spec.states, strict=True):
        assert entry["name"] == state.name
        assert entry["shape"] == [axis if isinstance(axis, int) else -1 for axis in state.axes]


def _close(answer: InferResult, name: str, expected: Array) -> None:
    found = answer.as_numpy(name)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), name
    np.testing.assert_allclose(
        found.astype(np.float64), expected.astype(np.float64), rtol=0, atol=TOLERANCE
    )
