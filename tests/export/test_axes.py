"""Which axes vary is measured: batch only where rows are independent, time only where it is."""

import pytest
import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
import tests.export.cases.traps as traps
from tests.harness.export_run import proven, run, zeros

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))


class Attention(nn.Module):
    """Several inputs and outputs, a batch of one, no state."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(8, 5)

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Q, K (1, 1, 4) and V (1, 5, 3) give (1, 1, 3) and the weights (1, 5)."""
        weights = self.score(torch.cat((q[0], k[0]), 1)).softmax(dim=1)
        return torch.bmm(weights[None], v), weights


@pytest.mark.parametrize("batch_first", [True, False])
def test_batch_and_time_follow_the_layers(batch_first: bool) -> None:
    """A layer's batch_first says which of two axes is which, even where both would run."""
    made = proven(nn.GRU(6, 8, batch_first=batch_first), torch.randn(5, 5, 6))
    lead = ("batch", "time") if batch_first else ("time", "batch")
    assert made.manifest.spec.inputs[0].axes == (*lead, 6)
    assert made.manifest.spec.outputs[0].axes == (*lead, 8)
    assert made.manifest.spec.states[0].axes == (1, "batch", 8)


@pytest.mark.parametrize(
    ("make", "output"),
    [(traps.CoupledRows, (1, "time", 3)), (traps.MergesAxes, ("time", 3)), (traps.SqueezesAll, ())],
)
def test_rows_that_are_not_independent_run_one_at_a_time(
    make: type[nn.Module], output: tuple[object, ...]
) -> None:
    """A batch mean, merged axes and a bare squeeze() have no batch axis, and the note says why."""
    module = make()
    made = proven(module, X)
    spec = made.manifest.spec
    assert not spec.has_batch
    assert spec.inputs[0].axes == (1, "time", 6)
    assert spec.outputs[0].axes == output
    assert made.manifest.parity.skipped[0].startswith("one row at a time: ")
    with torch.no_grad():
        expected = module.eval()(X[:1])
    for program in made.manifest.programs:
        answer = run(made, program, {"x": X[:1]}, zeros(made, 1))
        torch.testing.assert_close(answer.outputs["output"], expected, atol=1e-5, rtol=1e-5)


def test_a_head_over_time_has_no_time_axis() -> None:
    """An output belongs to every step or to the sequence, as its axes show."""
    assert proven(heads.LastStep(), X).manifest.spec.outputs[0].per == "sequence"
    assert proven(zoo.TwoLayers(), X).manifest.spec.outputs[0].per == "step"


def test_without_recurrence_a_module_is_plain_inference() -> None:
    """Independent rows are found; there is no state, and no stream."""
    spec = proven(heads.Perceptron(), X[:, 0]).manifest.spec
    assert spec.inputs[0].axes == ("batch", 6)
    assert (spec.states, spec.streaming) == ((), "none")
    assert spec.streaming_reason == "the model keeps no state"


def test_a_batch_of_one_stays_a_batch_of_one() -> None:
    """Where rows cannot be proven independent every axis is the example's."""
    module = Attention()
    q, k, v = torch.randn(1, 1, 4), torch.randn(1, 1, 4), torch.randn(1, 5, 3)
    made = proven(module, q, k, v, output_names=("output", "weights"))
    spec = made.manifest.spec
    assert [each.axes for each in spec.inputs] == [(1, 1, 4), (1, 1, 4), (1, 5, 3)]
    assert [(each.name, each.axes) for each in spec.outputs] == [
        ("output", (1, 1, 3)),
        ("weights", (1, 5)),
    ]
    with torch.no_grad():
        expected = module(q, k, v)
    for program in made.manifest.programs:
        answer = run(made, program, {"q": q, "k": k, "v": v}, {})
        for found, wanted in zip(answer.outputs.values(), expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_several_inputs_and_outputs_keep_their_names() -> None:
    """Inputs are forward's parameters, outputs the keys of its dict; ids know their range."""
    made = proven(heads.Tagger(), torch.randint(0, 11, (4, 5)), torch.randn(4, 3))
    tokens, speaker = made.manifest.spec.inputs
    assert (tokens.name, tokens.dtype, tokens.axes) == ("tokens", "int64", ("batch", "time"))
    assert (tokens.low, tokens.high) == (0, 10)
    assert (speaker.name, speaker.axes, speaker.high) == ("speaker", ("batch", 3), None)
    assert [each.name for each in made.manifest.spec.outputs] == ["scores", "summary"]


def test_ranges_may_be_said() -> None:
    """What the caller knows about ids stands above what an embedding shows."""
    made = proven(
        heads.Tagger(),
        *(torch.randint(0, 11, (4, 5)), torch.randn(4, 3)),
        ranges={"tokens": (1, 9)},
    )
    assert (made.manifest.spec.inputs[0].low, made.manifest.spec.inputs[0].high) == (1, 9)


def test_axes_that_were_said_are_kept_and_checked() -> None:
    """A stated batch of one is not varied, and the time axis is still measured."""
    made = proven(nn.GRU(6, 8), torch.randn(5, 1, 6), axes={"input": ("time", 1, 6)})
    spec = made.manifest.spec
    assert spec.inputs[0].axes == ("time", 1, 6)
    assert spec.states[0].axes == (1, 1, 8)


def test_an_unbatched_example_has_no_batch_axis() -> None:
    """A layer that was called with (T, F) is exported so."""
    made = proven(nn.LSTM(6, 8), torch.randn(5, 6))
    assert made.manifest.spec.inputs[0].axes == ("time", 6)
    assert made.manifest.spec.states[0].axes == (1, 8)


def test_lengths_that_the_original_refuses_are_listed() -> None:
    """A model of at most 20 steps is measured up to there, and the manifest says what was not."""
    skipped = proven(traps.FixedLength(), X).manifest.parity.skipped
    assert [each for each in skipped if "T=100: at most 20 steps" in each]


def test_a_scalar_input_is_a_constant() -> None:
    """A tensor without axes, such as a sample rate, is no input that clients send."""

    class Rated(heads.LastStep):
        def forward(self, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return super().forward(x) / rate

    spec = proven(Rated(), X, torch.tensor(16000)).manifest.spec
    assert spec.inputs[1].constant == 16000
    assert [each.name for each in spec.sent_inputs] == ["x"]
    assert spec.has_batch


def test_large_outputs_meet_a_relative_bound() -> None:
    """In the hundred thousands an absolute bound would refuse rounding itself."""
    made = proven(traps.LoudHead(), X)
    loud = [case for case in made.manifest.parity.cases if case.bound > 1]
    assert loud
    assert all(case.error <= case.bound for case in loud)
