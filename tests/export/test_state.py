"""State of every kind, explicit and hidden, becomes inputs and outputs that carry a stream."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
from carousel.export.artifact.record import Proven
from carousel.models.manifest import ProgramKind
from tests.export.cases.traps import InfiniteCache, LookAhead, Uncopyable, UsesOwnLayer
from tests.harness.export_run import Answer, Tensors, proven, run, zeros

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))


@dataclass(frozen=True, slots=True)
class Stream:
    """A module, the example it is exported with, and the states that must be found."""

    make: Callable[[], nn.Module]
    example: tuple[torch.Tensor, ...]
    states: tuple[str, ...]
    kind: str = "step"


STREAMS = {
    "last-step head": Stream(heads.LastStep, (X,), ("h", "c"), "last"),
    "final-state head": Stream(heads.FinalState, (X,), ("h", "c"), "last"),
    "optional pair": Stream(zoo.Explicit, (X,), ("h", "c")),
    "optional, transposed": Stream(zoo.OptionalBatchFirst, (X,), ("cache",)),
    "optional, learned": Stream(zoo.LearnedOptional, (X,), ("h",)),
    "learned start": Stream(zoo.LearnedStart, (X,), ("h",)),
    "two layers": Stream(zoo.TwoLayers, (X,), ("encoder.h", "head.h", "head.c")),
    "state in an attribute": Stream(zoo.AttributeState, (X,), ("h",)),
    "loop over a cell": Stream(zoo.CellLoop, (X,), ("h", "c")),
    "loop, one answer": Stream(zoo.LastOfLoop, (X,), ("h", "c"), "last"),
    "loop over a layer": Stream(zoo.SteppedLayer, (X,), ("h", "c")),
    "dual path": Stream(zoo.DualPath, (torch.randn(2, 6, 5, 4),), ("along.h",)),
    "state returned only": Stream(zoo.ReturnsState, (X,), ("h", "c"), "last"),
    "layers of one's own": Stream(UsesOwnLayer, (X,), ("first.h", "second.h")),
    "not copyable": Stream(Uncopyable, (X,), ("h", "c"), "last"),
}
REQUIRED = {
    "h and c": Stream(zoo.RequiredState, (X, *[torch.zeros(1, 4, 8)] * 2), ("h", "c")),
    "batch first": Stream(zoo.BatchFirstState, (X, torch.zeros(4, 2, 8)), ("cache",)),
    "one name for both": Stream(zoo.SameNames, (X, torch.zeros(1, 4, 8)), ("h",)),
    "written by hand": Stream(zoo.HandWrittenLoop, (X, torch.zeros(4, 8)), ("h",)),
    "taken only": Stream(zoo.Decoder, (X, torch.ones(1, 4, 8)), ("h",)),
}


def _start(made: Proven, module: nn.Module, batch: int) -> Tensors:
    """The initial states, a learned one from the module's own parameter."""
    start = zeros(made, batch)
    for state in made.manifest.spec.states:
        if state.has_initial:
            assert isinstance(module.h0, nn.Parameter)
            start[state.name] = module.h0.detach().expand(-1, batch, -1)
    return start


def _frames(made: Proven, program: ProgramKind, x: torch.Tensor, states: Tensors) -> list[Answer]:
    """One run of the program per time step of `x` (B, T, ...), the state handed on."""
    answers: list[Answer] = []
    name = made.manifest.spec.inputs[0].name
    for step in range(x.shape[1]):
        lengths = None if made.manifest.programs[program].lengths is None else [1] * len(x)
        answers.append(run(made, program, {name: x[:, step : step + 1]}, states, lengths))
        states = answers[-1].states
    return answers


@pytest.mark.parametrize("case", STREAMS)
def test_hidden_and_optional_state_streams_frame_by_frame(case: str) -> None:
    """Frame after frame through either program gives what eager gives for the whole sequence."""
    stream = STREAMS[case]
    torch.manual_seed(5)
    module = stream.make()
    made = proven(module, *stream.example)
    spec = made.manifest.spec
    assert tuple(each.name for each in spec.states) == stream.states
    assert spec.streaming == stream.kind
    assert set(made.manifest.programs) == {"onnx", "torchscript"}
    x = torch.randn(3, 9, *stream.example[0].shape[2:])
    with torch.no_grad():
        whole = module.eval()(x)
    output = whole[0] if isinstance(whole, tuple) else whole
    for program in made.manifest.programs:
        answers = _frames(made, program, x, _start(made, module, 3))
        outputs = [each.outputs[spec.outputs[0].name] for each in answers]
        found = torch.cat(outputs, dim=1) if spec.outputs[0].per == "step" else outputs[-1]
        torch.testing.assert_close(found, output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", REQUIRED)
def test_state_among_the_arguments_is_carried(case: str) -> None:
    """A state that forward demands becomes a state of the program, from any value."""
    stream = REQUIRED[case]
    torch.manual_seed(6)
    module = stream.make()
    made = proven(module, *stream.example)
    spec = made.manifest.spec
    assert tuple(each.name for each in spec.states) == stream.states
    assert [each.output for each in spec.states] == [f"{name}_out" for name in stream.states]
    x = torch.randn(4, 9, 6)
    states = [torch.randn_like(each) for each in stream.example[1:]]
    with torch.no_grad():
        whole = module.eval()(x, *states)
    output = whole[0] if isinstance(whole, tuple) else whole
    start = dict(zip(stream.states, states, strict=True))
    for program in made.manifest.programs:
        answers = _frames(made, program, x, start)
        found = torch.cat([each.outputs[spec.outputs[0].name] for each in answers], dim=1)
        torch.testing.assert_close(found, output, atol=1e-5, rtol=1e-5)


def test_a_lift_never_throws_a_learned_start_away() -> None:
    """The learned initial state is stored, and it is the parameter's value."""
    module = zoo.LearnedStart()
    made = proven(module, X)
    assert made.manifest.initial is not None
    assert made.manifest.spec.states[0].has_initial
    assert module.h0.detach().numpy().tobytes() in made.files[made.manifest.initial]


@pytest.mark.parametrize("make", [zoo.EncoderDecoder, zoo.ComputedStart])
def test_a_start_computed_from_the_input_is_left_alone(make: type[nn.Module]) -> None:
    """The model serves whole sequences, equal to the original, and says why not streams."""
    module = make()
    made = proven(module, X)
    spec = made.manifest.spec
    assert spec.streaming == "none"
    assert "computed from the input" in (spec.streaming_reason or "")
    x = torch.randn(2, 8, 6)
    with torch.no_grad():
        expected = module.eval()(x)
    for program in made.manifest.programs:
        lengths = [8, 8] if program == "onnx" else None
        answer = run(made, program, {"x": x}, zeros(made, 2), lengths)
        torch.testing.assert_close(answer.outputs["output"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [LookAhead, heads.MeanPool])
def test_what_looks_at_the_whole_sequence_does_not_stream(make: type[nn.Module]) -> None:
    """A look-ahead convolution and a mean over time are found out by chunks of one step."""
    made = proven(make(), X)
    assert made.manifest.spec.streaming == "none"
    assert "chunks differ from the whole" in (made.manifest.spec.streaming_reason or "")


def test_a_seam_at_the_end_is_enough_to_stop_streaming() -> None:
    """The measurement includes a last chunk of one step, which halves would hide."""
    made = proven(heads.LastStep(), X)
    checks = {case.check for case in made.manifest.parity.cases}
    assert checks >= {"whole", "chunks 1", "chunks T-1|1", "ragged"}


def test_bidirectional_layers_do_not_stream_and_say_so() -> None:
    """The reason names what everybody knows about them."""
    made = proven(nn.LSTM(6, 8, bidirectional=True), X)
    assert made.manifest.spec.streaming_reason == (
        "it is bidirectional: it reads a sequence from both ends"
    )
    assert made.manifest.spec.states[0].axes == (2, "batch", 8)


def test_rows_of_a_fold_belong_to_their_session() -> None:
    """A dual-path model's state is five rows a session; the one that varies with T is no state."""
    made = proven(zoo.DualPath(), torch.randn(2, 6, 5, 4))
    (state,) = made.manifest.spec.states
    assert (state.name, state.fold, state.session_shape) == ("along.h", 5, (1, 5, 4))


def test_a_loop_over_time_runs_one_step_at_a_time() -> None:
    """The trace is made at T = 1, the time axis is kept, and sequences run frame by frame."""
    spec = proven(zoo.CellLoop(), X).manifest.spec
    assert spec.run_steps == 1
    assert spec.inputs[0].axes == ("batch", "time", 6)


def test_a_left_over_attribute_starts_at_zeros() -> None:
    """What training left in the attribute is not the model's initial state, and stays there."""
    module = zoo.AttributeState()
    module(torch.randn(7, 3, 6))
    kept = module.hidden
    made = proven(module, X)
    assert module.hidden is kept
    assert not made.manifest.spec.states[0].has_initial
    fresh = zoo.AttributeState()
    fresh.load_state_dict(module.state_dict())
    with torch.no_grad():
        expected = fresh(X)
    answer = run(made, "torchscript", {"x": X}, zeros(made, 4))
    torch.testing.assert_close(answer.outputs["output"], expected, atol=1e-5, rtol=1e-5)


def test_a_cell_called_once_is_a_frame() -> None:
    """Without a time axis one call is one frame, and the state goes from frame to frame."""
    made = proven(zoo.HandWrittenCell(), X[:, 0], torch.zeros(4, 8))
    spec = made.manifest.spec
    assert spec.is_framed
    assert spec.streaming == "step"
    assert spec.outputs[0].per == "step"


def test_a_cache_of_infinities_is_no_poisoned_state() -> None:
    """The spec says that this state need not be finite, as the original's own is not."""
    made = proven(InfiniteCache(), X[:, 0], torch.zeros(4, 6))
    assert [each.finite for each in made.manifest.spec.states] == [False]
    assert [each.finite for each in proven(heads.LastStep(), X).manifest.spec.states] == [
        True,
        True,
    ]


def test_frames_of_item_ids_carry_their_state() -> None:
    """One id a call: a framed model whose ids know their range."""
    made = proven(zoo.Recommender(), torch.randint(0, 20, (4,)), torch.zeros(1, 4, 8))
    spec = made.manifest.spec
    assert (spec.is_framed, spec.inputs[0].axes, spec.inputs[0].high) == (True, ("batch",), 19)
    assert spec.states[0].axes == (1, "batch", 8)


def test_nested_states_of_several_cells_are_all_found() -> None:
    """A list of pairs becomes four states, each paired with its own output."""
    states = [(torch.zeros(4, 8), torch.zeros(4, 8)), (torch.zeros(4, 5), torch.zeros(4, 5))]
    made = proven(zoo.CellStack(), X[:, 0], states)
    names = [each.name for each in made.manifest.spec.states]
    assert names == ["low.h", "low.c", "high.h", "high.c"]
    assert made.manifest.spec.is_framed


def test_time_may_be_the_last_axis() -> None:
    """Where time stands is measured, for inputs and for outputs."""
    spec = proven(zoo.ChannelsFirst(), X.transpose(1, 2)).manifest.spec
    assert spec.inputs[0].axes == ("batch", 6, "time")
    assert spec.outputs[0].axes == ("batch", 5, "time")
    assert spec.streaming == "step"
