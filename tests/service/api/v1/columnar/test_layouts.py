"""Columns of every layout that a model can have, over a socket, against the modules themselves:
several inputs and outputs, token ids, frames, an output per sequence, an input without time.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from carousel.models.repository import Repository
from carousel.models.row import Array
from carousel.models.spec import TIME
from tests.harness.client import TOLERANCE, refused
from tests.harness.layouts import LAYOUTS
from tests.harness.live import Live
from tests.harness.programs import Arrays, Case, random_inputs
from tests.service.api.v1.columnar.asking import ENCODINGS, JSON, PATH, body_of, read_told

NAMES = {name.replace(" ", "-").replace(",", ""): name for name in LAYOUTS}
FIXED = "fixed-constant-whole"
WHOLE = "no-state-no-time"
STREAMED = [each for each in NAMES if each != WHOLE]
ROWS = 5

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=["json", "tensors"])


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    """The modules."""
    return {name: LAYOUTS[layout]() for name, layout in NAMES.items()}


@pytest.fixture(scope="module")
def live(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of all of them."""
    folder = tmp_path_factory.mktemp("layouts")
    for name, case in cases.items():
        Repository(folder).add(*case.artifact(name=name, kinds=("onnx",)))
    with Live(folder) as service:
        yield service


def _close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


class Fleet:
    """Sessions of one model, and what the module itself says of them."""

    def __init__(self, live: Live, name: str, case: Case, encoding: str) -> None:
        self.live = live
        self.name = name
        self.case = case
        self.encoding = encoding
        self.ids = [f"{name}-{encoding[-4:]}-{row}" for row in range(ROWS)]
        self.states = [case.start() for _ in self.ids]
        self.steps = [0] * ROWS
        spec = case.spec
        self.timed = {
            each.name: TIME in spec.wire_shape(each) for each in (*spec.sent_inputs, *spec.outputs)
        }

        fixed = [each for each in spec.states if each.fixed]
        for row, session_id in enumerate(self.ids if fixed else ()):
            rng = np.random.default_rng(row)
            state = {each.name: rng.standard_normal(each.session_shape) for each in fixed}
            self.states[row] |= {each.name: state[each.name].astype(each.dtype) for each in fixed}
            given = {name: each.tolist() for name, each in state.items()}
            body = {"model": name, "session_id": session_id, "state": given}
            assert live.client.post("/v1/sessions", json=body).status_code == 201

    def step(self, lengths: list[int], how: str, seed: int) -> None:
        """Step all by so many time steps each, and compare; `how`: bare, timed or packed."""
        rng = np.random.default_rng(seed)
        rows = [random_inputs(self.case.spec, rng, length) for length in lengths]
        inputs = {name: self._column(name, [row[name] for row in rows], how) for name in rows[0]}
        sent = {name: each.tolist() for name, each in inputs.items()}
        body = body_of(
            self.encoding,
            self.ids,
            sent if self.encoding == JSON else inputs,
            positions=self.steps,
            lengths=lengths if how == "packed" else None,
            open=True,
            model=self.name,
        )
        headers = {"content-type": self.encoding}
        answer = self.live.client.post(PATH, content=body, headers=headers)
        packed = [name for name, timed in self.timed.items() if timed]
        told = read_told(answer, lengths=lengths if how == "packed" else None, packed=packed)
        assert told.errors == {}
        self.steps = [at + length for at, length in zip(self.steps, lengths, strict=True)]
        assert told.positions == self.steps
        expected: list[Arrays] = []
        for row, (x, length) in enumerate(zip(rows, lengths, strict=True)):
            outputs, self.states[row] = self.case.eager(x, length, self.states[row])
            expected.append(outputs)
        for output in self.case.spec.outputs:
            name = output.name if len(self.case.spec.outputs) > 1 else next(iter(told.outputs))
            found = np.array(told.outputs[name])
            wanted = self._column(output.name, [each[output.name] for each in expected], how)
            assert found.shape == wanted.shape
            _close(found, wanted)

    def _column(self, name: str, rows: list[Array], how: str) -> Array:
        if not self.timed[name]:
            return np.stack(rows)
        if how == "packed":
            return np.concatenate(rows)
        column = np.stack(rows)
        return column[:, 0] if how == "bare" else column


@each_encoding
@pytest.mark.parametrize("name", STREAMED)
def test_columns_are_the_modules_own(
    live: Live, cases: dict[str, Case], name: str, encoding: str
) -> None:
    """Bare, with time and packed, one after the other, each going on from the state before."""
    fleet = Fleet(live, name, cases[name], encoding)
    fleet.step([1] * ROWS, "bare", seed=1)
    fleet.step([3] * ROWS, "timed", seed=2)
    fleet.step([2, 1, 4, 1, 3], "packed", seed=3)
    fleet.step([1] * ROWS, "timed", seed=4)


@each_encoding
def test_columns_equal_single_steps(live: Live, cases: dict[str, Case], encoding: str) -> None:
    """To rounding, and single steps go on from them."""
    fleet = Fleet(live, "time-first-ragged", cases["time-first-ragged"], encoding)
    http = live.client
    fleet.ids = [f"{each}-single" for each in fleet.ids]
    fleet.step([2] * ROWS, "timed", seed=5)
    x = random_inputs(fleet.case.spec, np.random.default_rng(6), 3)
    for row, each in enumerate(fleet.ids):
        body = {"inputs": x["x"].tolist(), "position": 2}
        found = http.post(f"/v1/sessions/{each}/steps", json=body).json()["outputs"]
        wanted, _ = fleet.case.eager(x, 3, fleet.states[row])
        _close(found, wanted["y"])


@each_encoding
def test_a_token_out_of_range_is_its_rows_fault(live: Live, encoding: str) -> None:
    """Alone, with time and packed; token 5 of a vocabulary of five."""
    ids = [f"t-{encoding[-4:]}-{row}" for row in range(3)]
    for tokens, lengths, place in (
        ([0, 5, 1], None, "[1]: "),
        ([[0, 1], [1, -1], [1, 1]], None, "[1][1]: "),
        ([0, 1, 9, 0, 1], [1, 3, 1], "[2]: "),
    ):
        column = np.array(tokens)
        given = {"ids": column.tolist() if encoding == JSON else column}
        model = "tokens-three-dtypes"
        body = body_of(encoding, ids, given, lengths=lengths, open=True, model=model)
        answer = live.client.post(PATH, content=body, headers={"content-type": encoding})
        told = read_told(answer, lengths=lengths)
        assert told.codes == {1: "out_of_range"}
        assert place in told.errors[1]["detail"]


def test_models_that_no_session_can_be_opened_on(live: Live) -> None:
    """One that takes whole sequences alone: 409 for the request. One that must be given a state to
    begin: 422 for rows that would be opened; those that are there are stepped.
    """
    body = {"model": WHOLE, "session_ids": ["a"], "inputs": {}}
    refused(live.client.post(PATH, json=body), 409, "not_streamable")
    opened = {"model": FIXED, "session_id": "fixed", "state": {"memory": [1, 1, 1]}}
    assert live.client.post("/v1/sessions", json=opened).status_code == 201
    inputs = {"x": [[1, 2, 3]] * 2, "speaker": [[1, 1, 1]] * 2}
    body = {"model": FIXED, "session_ids": ["fixed", "new"], "inputs": inputs}
    told = live.client.post(PATH, json=body | {"open": True}).json()
    assert told["positions"] == [1, None]
    assert told["errors"]["1"]["code"] == "invalid_request"
    # y = (h + x + speaker) * memory + rate, from h = 0 and memory = 1, at the constant rate of 2.5.
    assert told["outputs"][0] == [4.5, 5.5, 6.5]


def test_inputs_fit_together(live: Live) -> None:
    """A frame of one input and time steps of the other, or two numbers of them: 422."""
    frames = {"x": [[1, 1]] * 2, "gain": [[[1]]] * 2}
    uneven = {"x": [[[1, 1]]] * 2, "gain": [[[1], [1]]] * 2}
    for inputs in (frames, uneven):
        body = {"model": "frames-batch-axis-3-fold", "session_ids": ["a", "b"], "inputs": inputs}
        problem = refused(live.client.post(PATH, json=body), 422, "shape_mismatch")
        assert problem["detail"].startswith("inputs: ")
