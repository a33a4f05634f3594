"""What is rare is not left out: values far above the example's, cuts far behind its end."""

import pytest
import torch
from torch import nn

import tests.export.cases.units as units
from carousel.export.errors import ExportError, InvalidRequest
from tests.harness.export_run import proven, start, zeros
from tests.harness.export_served import attempt, frames, whole

X = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(4))


def _seldom() -> torch.Tensor:
    """Forty steps, of which two are loud."""
    x = torch.randn(2, 40, 4, generator=torch.Generator().manual_seed(5))
    x[0, 3], x[1, 20] = 4321.0, 2600.0
    return x


@pytest.mark.parametrize(
    "beside",
    [units.latched, units.excess, units.thousands, units.unusual, units.deviations],
    ids=lambda each: each.__name__,
)
def test_memory_of_what_is_rare_is_a_state(beside: units.Beside) -> None:
    """Or the model is no stream: the example has nothing of it."""
    torch.manual_seed(0)
    module = units.Measured(beside).eval()
    made = proven(module, X)
    x = _seldom()
    with torch.no_grad():
        expected = module(x)
    for kind in made.manifest.programs:
        assert made.manifest.spec.streaming == "step"
        states = start(made, 2)
        parts = [whole(made, kind, x[:, :1], states=states)]
        found = whole(made, kind, x, states=states)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(parts[0], expected[:, :1], atol=1e-3, rtol=1e-5)


def test_rows_that_meet_in_what_is_rare_are_told() -> None:
    """A mean over the batch of what is above a buffer, which no sample is."""
    made = attempt(units.Measured(units.beside_the_others), (X,))
    assert isinstance(made, ExportError) or not made.manifest.spec.has_batch


@pytest.mark.parametrize("steps", [200, 1024])
def test_a_slice_of_the_beginning_is_no_stream(steps: int) -> None:
    """What comes behind it changes nothing, which a stream would not know."""
    torch.manual_seed(0)
    made = proven(units.Cut(steps), X)
    assert made.manifest.spec.streaming == "none"


@pytest.mark.parametrize("states", [("fast", "slow"), ("slow", "fast")])
def test_states_that_are_named_come_back_in_the_order_they_are_taken(
    states: tuple[str, str],
) -> None:
    """Whatever they are called, and however they are listed."""
    module = units.Averages()
    made = proven(module, X[:, 0], torch.zeros(3, 4), torch.zeros(3, 4), states=states)
    x = torch.randn(6, 3, 4)
    state, expected = (torch.zeros(3, 4), torch.zeros(3, 4)), []
    for one in x:
        answer, *new = module(one, *state)
        state = (new[0], new[1])
        expected.append(answer)
    for kind in made.manifest.programs:
        found = frames(made, kind, {"x": x}, zeros(made, 3))
        name = made.manifest.spec.outputs[0].name
        torch.testing.assert_close(found.outputs[name], torch.stack(expected))
        torch.testing.assert_close(found.states["slow"], state[1])


def test_a_layer_that_is_left_out_of_short_sequences_ends_in_words() -> None:
    """Served from where it runs, or refused by its name."""
    made = attempt(units.Shortcut(), (X,))
    if isinstance(made, ExportError):
        assert "'layer'" in str(made)
    else:
        assert made.manifest.spec.least_steps == 4


def test_states_that_are_integers_and_bools_are_found() -> None:
    """A count and a flag, of which no float tells."""
    module = units.Debounce()
    made = proven(module, X)
    assert made.manifest.spec.streaming == "step"
    x = torch.randn(2, 50, 4)
    for kind in made.manifest.programs:
        assert torch.equal(whole(made, kind, x, states=start(made, 2)), module(x)[0])


def test_a_range_that_no_client_can_send_is_told() -> None:
    """Nor one that an input of floats has."""
    tokens = torch.randint(0, 9, (3, 7))
    made = attempt(nn.Sequential(nn.Embedding(9, 4)), (tokens,), ranges={"input": (0, 2**70)})
    assert isinstance(made, InvalidRequest)
    assert "input is int64" in str(made)


@pytest.mark.parametrize(
    ("module", "wishes", "words"),
    [
        (nn.Sequential(nn.LazyLinear(8)), {}, "lazy layers"),
        (nn.GRU(4, 6), {"tolerance": "x"}, "tolerance"),
        (nn.GRU(4, 6), {"output_names": [""]}, "output_names"),
    ],
)
def test_what_is_none_of_its_kind_is_told(
    module: nn.Module, wishes: dict[str, object], words: str
) -> None:
    """Before anything runs."""
    made = attempt(module, (X,), **wishes)
    assert isinstance(made, InvalidRequest)
    assert words in str(made)


def test_a_cache_beside_one_step_is_a_stream_of_frames() -> None:
    """A sequence would not fit its caches; a step at a time does."""
    torch.manual_seed(0)
    module = units.Cache().eval()
    caches = torch.zeros(3, 5, 8), torch.zeros(3, 5, 8)
    made = proven(module, torch.randn(3, 1, 8), *caches)
    spec = made.manifest.spec
    assert (spec.streaming, spec.has_time) == ("step", False)
    x, expected = torch.randn(9, 3, 1, 8), []
    with torch.no_grad():
        for one in x:
            answer, *caches = module(one, *caches)
            expected.append(answer)
    for kind in made.manifest.programs:
        found = frames(made, kind, {"x": x}, zeros(made, 3)).outputs[spec.outputs[0].name]
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_one_step_of_what_looks_around_is_no_frame() -> None:
    """Its example has one step only, and its sequences have more."""
    made = proven(units.LooksAround(), torch.randn(3, 1, 4), torch.zeros(1, 3, 6))
    assert made.manifest.spec.streaming == "none"


def test_a_state_beside_an_input_of_its_shape_is_asked_for() -> None:
    """Either of two outputs may be its new value; the one that is named is taken."""
    example = X[:, 0], torch.zeros(3, 6), torch.zeros(3, 6)
    refused = attempt(units.Neighbours(), example, states=("h",))
    assert isinstance(refused, ExportError)
    assert "states={'h': '1'}" in str(refused)
    made = proven(units.Neighbours(), *example, states={"h": "1"})
    assert [(each.name, each.axes) for each in made.manifest.spec.states] == [("h", ("batch", 6))]
    assert (made.manifest.origins or {})["h"].startswith("forward's h, returned as output.1")


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int32, torch.float16])
@pytest.mark.parametrize("number", [128.0, 1000.0, -1e30])
def test_a_number_that_an_input_cannot_hold_is_not_tried(dtype: torch.dtype, number: float) -> None:
    """Samples of eight bits and flags, measured by more than they have."""
    x = torch.randint(0, 2, (3, 7, 4)).to(dtype)
    made = attempt(units.Scaled(number), (x,))
    assert not isinstance(made, ExportError), made
    assert made.manifest.spec.streaming == "step"
