"""A state is found as one, or asked for by name: it is never ignored and never burnt in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import tests.export.cases.memories as memories
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError
from tests.harness.export_run import Tensors, proven, run, zeros
from tests.harness.export_served import attempt, constants, frames, serve

B = 5  # no other size is


@dataclass(frozen=True, slots=True)
class Frames:
    """A module of one frame a call, the shapes of its states by name, and where the first
    new one stands among the outputs.
    """

    make: Callable[[], nn.Module]
    states: dict[str, tuple[int, ...]]
    place: int
    masked: bool = False

    def example(self) -> tuple[torch.Tensor, ...]:
        """Random frames, every state at zeros as examples have it."""
        x = torch.randn(B, 6, generator=torch.Generator().manual_seed(1))
        states = [torch.zeros(shape) for shape in self.states.values()]
        return (x, *states, torch.ones(B, 1)) if self.masked else (x, *states)


FRAMES = {
    "policy": Frames(memories.Policy, {"rnn_hxs": (B, 8)}, 2, masked=True),
    "policy of a cell": Frames(memories.MaskedCell, {"rnn_hxs": (B, 16)}, 1, masked=True),
    "memory": Frames(memories.Remembers, {"memory": (B, 8)}, 1),
    "memory of a layer": Frames(memories.RemembersLayer, {"memory": (B, 2, 8)}, 1),
    "frame before": Frames(
        memories.ThreeRanks, {"h": (1, B, 8), "c": (1, B, 8), "before": (B, 6)}, 1
    ),
    "tail of a convolution": Frames(
        memories.ThreeRanksConv, {"h": (1, B, 8), "c": (1, B, 8), "tail": (B, 6, 3)}, 1
    ),
    "matrix memory": Frames(memories.Matrix, {"C": (B, 4, 4), "n": (B, 4), "m": (B, 1)}, 1),
    "new h alone": Frames(memories.OnlyNewState, {"h": (B, 8)}, 0),
    "new h alone, by hand": Frames(memories.OnlyNewStateByHand, {"prev": (B, 8)}, 0),
}


def _eager(case: Frames, module: nn.Module, inputs: Tensors) -> list[torch.Tensor]:
    """The original's first output, frame by frame from zeros, its states handed on."""
    states: list[torch.Tensor] = list(case.example()[1 : 1 + len(case.states)])
    expected = []
    with torch.no_grad():
        for frame in range(len(inputs["x"])):
            masks = [inputs["masks"][frame]] if case.masked else []
            found = module.eval()(inputs["x"][frame], *states, *masks)
            found = found if isinstance(found, tuple) else (found,)
            states = list(found[case.place : case.place + len(states)])
            expected.append(found[0])
    return expected


def _steps_right(case: Frames, module: nn.Module, made: Proven) -> None:
    """All states are states, rows are free, and frames in a row equal the original's."""
    spec = made.manifest.spec
    assert len(spec.states) == len(case.states)
    assert (spec.streaming, spec.has_batch, spec.is_framed) == ("step", True, True)
    inputs = {"x": torch.randn(6, B, 6), "masks": (torch.arange(6) != 3).float()[:, None, None]}
    inputs["masks"] = inputs["masks"].expand(6, B, 1).contiguous()
    expected = torch.stack(_eager(case, module, inputs))
    names = [each.name for each in spec.sent_inputs]
    given = dict(zip(names, inputs.values(), strict=False))
    for kind in made.manifest.programs:
        answer = frames(made, kind, given, zeros(made, B))
        found = answer.outputs[spec.outputs[0].name]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        for batch in (1, 3):
            few = {name: each[:, :1].repeat(1, batch, 1) for name, each in given.items()}
            row = frames(made, kind, few, zeros(made, batch)).outputs[spec.outputs[0].name]
            torch.testing.assert_close(row[:, -1], expected[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", FRAMES)
def test_a_state_is_found_or_asked_for(case: str) -> None:
    """Told nothing: either the frames come out right, or the refusal names `states=`."""
    torch.manual_seed(2)
    stream = FRAMES[case]
    module = stream.make()
    made = attempt(module, stream.example())
    if isinstance(made, ExportError):
        assert "states=" in str(made)
        return
    _steps_right(stream, module, made)


@pytest.mark.parametrize("case", FRAMES)
def test_a_state_that_is_named_is_carried(case: str) -> None:
    """With `states=` it is found; where only the axes are in doubt, `axes=` settles them."""
    torch.manual_seed(2)
    stream = FRAMES[case]
    module = stream.make()
    wishes: dict[str, Any] = {"states": tuple(stream.states)}
    made = attempt(module, stream.example(), **wishes)
    if isinstance(made, ExportError):
        assert "axes=" in str(made)
        wishes["axes"] = {
            name: tuple("batch" if size == B else size for size in shape)
            for name, shape in stream.states.items()
        }
        made = proven(module, *stream.example(), **wishes)
    _steps_right(stream, module, made)


IGNORED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], torch.Tensor]] = {
    "tanh": (memories.Ignored, (4,), torch.zeros(8)),
    "scaled": (memories.IgnoredCell, (1, 4), torch.zeros(1, 8)),
    "pair in one": (memories.IgnoredPair, (4,), torch.zeros(16)),
    "number": (memories.IgnoredSpeaker, (3, 4), torch.tensor([0])),
}


@pytest.mark.parametrize("case", IGNORED)
def test_what_starts_a_layer_has_its_effect(case: str) -> None:
    """An example of zeros proves nothing: other memories answer otherwise, or are refused."""
    make, shape, example = IGNORED[case]
    torch.manual_seed(2)
    module = make()
    made = attempt(module, (torch.randn(shape), example))
    if isinstance(made, ExportError):
        assert "memory" in str(made)
        return
    spec = made.manifest.spec
    for _ in range(3):
        x = torch.randn(shape)
        memory = torch.randn(example.shape) if example.is_floating_point() else torch.tensor([3])
        given = {"x": x, "memory": memory} | constants(made)
        with torch.no_grad():
            expected = module(x, memory)
        for kind in made.manifest.programs:
            states = zeros(made, 1) | {each.name: memory for each in spec.states
                                       if each.name == "memory"}  # fmt: skip
            found = run(made, kind, given, states, [1]).outputs[spec.outputs[0].name]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


PAIR = (torch.zeros(B, 8), torch.zeros(B, 8))


@pytest.mark.parametrize(
    ("make", "state"),
    [(memories.StatesOnly, PAIR), (memories.StatesOnlyInPair, (PAIR,))],
)
def test_a_cell_of_states_alone_answers_with_them(
    make: Callable[[], nn.Module], state: tuple[Any, ...]
) -> None:
    """The new states are outputs as well: an answer is never empty."""
    torch.manual_seed(2)
    module = make()
    made = proven(module, torch.randn(B, 6), *state)
    spec = made.manifest.spec
    assert (len(spec.states), spec.streaming) == (2, "step")
    assert spec.outputs
    x, h, c = torch.randn(4, B, 6), *PAIR
    expected = []
    with torch.no_grad():
        for frame in x:
            h, c = module.cell(frame, (h, c))  # type: ignore[operator]
            expected.append(h)
    for kind in made.manifest.programs:
        answer = frames(made, kind, {"x": x}, zeros(made, B))
        found = answer.outputs[spec.outputs[0].name]
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(list(answer.states.values())[1], c, atol=1e-5, rtol=1e-5)


def test_a_layer_of_states_alone_answers_with_its_last() -> None:
    """Whole sequences and chunks: the final h is what it says."""
    torch.manual_seed(2)
    module = memories.StatesOnlyOfLayer()
    made = proven(module, torch.randn(B, 5, 6), torch.zeros(1, B, 8), torch.zeros(1, B, 8))
    spec = made.manifest.spec
    assert spec.outputs
    x, zero = torch.randn(B, 7, 6), torch.zeros(1, B, 8)
    with torch.no_grad():
        expected = module(x, zero, zero)[0]
    for kind in made.manifest.programs:
        answer = serve(made, kind, {"x": x}, zeros(made, B))
        found = answer.outputs[spec.outputs[0].name]
        torch.testing.assert_close(found.reshape(B, 8), expected[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "shape"), [(memories.LoopOfMemory, (B, 8)), (memories.TurnedMemory, (B, 2, 8))]
)
def test_with_a_time_axis_running_tells_what_is_a_state(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    """Nobody is asked: in pieces it answers what the whole does, its memory handed on."""
    torch.manual_seed(2)
    module = make()
    made = proven(module, torch.randn(B, 5, 6), torch.zeros(shape))
    assert ([each.name for each in made.manifest.spec.states], made.manifest.spec.streaming) == (
        ["kept"],
        "step",
    )
    x, kept = torch.randn(B, 7, 6), torch.randn(shape)
    with torch.no_grad():
        expected = module(x, kept)
    for kind in made.manifest.programs:
        answer = serve(made, kind, {"x": x}, {"kept": kept})
        found = answer.outputs[made.manifest.spec.outputs[0].name]
        torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(answer.states["kept"], expected[1], atol=1e-5, rtol=1e-5)


def test_what_comes_back_in_its_shape_and_is_no_state_stays_an_input() -> None:
    """Handed on, it would answer otherwise: the run says so."""
    torch.manual_seed(2)
    spec = proven(memories.Conditioned(), torch.randn(B, 5, 6), torch.randn(B, 8)).manifest.spec
    assert [each.name for each in spec.inputs] == ["x", "speaker"]
    assert [each.name for each in spec.states] == ["h"]
