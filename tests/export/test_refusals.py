"""What cannot be served truthfully is refused: with its name, the reason, and the way out."""

import pytest
import torch
from torch import nn

import tests.export.cases.answers as answers
import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
import tests.export.cases.traps as traps
from carousel.export.errors import ExportRefused, InvalidRequest
from tests.harness.export_run import proven

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))

REFUSED = {
    "random start": (traps.RandomStart(), "'gru' is random"),
    "random head": (traps.AlwaysDropout(), "'drop' (EagerDropout) is random"),
    "around the hooks": (traps.AroundHooks(), "'gru' is run by calling its .forward"),
    "backwards": (traps.BackwardLoop(), "stepping it one at a time does not give the same"),
    "leaky attribute": (traps.LeakyAttribute(), "'hidden' feeds more than a recurrent layer"),
    "buffer": (traps.BufferCache(), "'cache' feeds more than a recurrent layer"),
    "not finite": (traps.NotFinite(), "is not finite"),
    "a branch on values": (traps.Branches(), "decides by the values of its inputs"),
    "sizes in Python": (traps.PythonSizes(), "no program equals the module"),
    "more steps": (answers.Doubles(), "output has sizes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_what_is_wrong_and_the_way_out(case: str) -> None:
    """Every refusal says what was found and what to change."""
    module, words = REFUSED[case]
    with pytest.raises(ExportRefused) as refused:
        proven(module, X)
    assert words in refused.value.reason
    assert "Way out: " in str(refused.value)


def test_a_state_that_starts_elsewhere_is_refused() -> None:
    """An optional state that no layer takes must start at zeros when left out."""

    class Elsewhere(zoo.HandWrittenCell):
        def forward(self, x: torch.Tensor, h: torch.Tensor | None = None) -> zoo.Pair:
            return super().forward(x, torch.ones(len(x), 8) if h is None else h)

    with pytest.raises(ExportRefused, match="starts elsewhere than at zeros"):
        proven(Elsewhere(), X[:, 0])


def test_torchscript_is_refused_with_the_way_out() -> None:
    """What is inside a script cannot be watched; the module it was made from is asked for."""
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        script = torch.jit.trace(nn.Linear(6, 2), X)  # type: ignore[no-untyped-call]
    with pytest.raises(ExportRefused, match=r"give the nn\.Module"):
        proven(script, X)


def test_a_forward_that_fails_on_its_example_is_refused() -> None:
    """The module's own words are passed on."""
    with pytest.raises(ExportRefused, match="forward fails on the example"):
        proven(heads.LastStep(), torch.randn(4, 5, 7))


@pytest.mark.parametrize(
    ("example", "wishes", "words"),
    [
        ((), {}, "missing a required argument"),
        ((X, X), {}, "too many positional arguments"),
        ((X,), {"axes": {"x": ("batch", "time")}}, "x has 3 axes, not 2"),
        ((X,), {"axes": {"x": ("batch", "rows", 6)}}, "'rows' in 'x'"),
        ((X,), {"axes": {"x": ("batch", "batch", 6)}}, "twice"),
        ((X,), {"axes": {"y": ("batch", 3)}}, "there is no 'y'"),
        ((X,), {"axes": {"output": ("time", 3)}}, "was measured to be"),
        ((X,), {"output_names": ("a", "b")}, "1 different names are needed"),
        ((X,), {"states": ("h",)}, "no parameter 'h'"),
        ((X,), {"ranges": {"tokens": (0, 3)}}, "no input 'tokens'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    example: tuple[torch.Tensor, ...], wishes: dict[str, object], words: str
) -> None:
    """A wrong argument is no refusal of the module: it is said what was expected."""
    with pytest.raises(InvalidRequest, match=words):
        proven(heads.LastStep(), *example, **wishes)


def test_a_program_that_falls_short_is_left_out_and_said() -> None:
    """Double precision has no ONNX kernels here: the TorchScript program stands alone."""
    made = proven(nn.LSTM(6, 8).double(), X.double())
    assert set(made.manifest.programs) == {"torchscript"}
    assert any(each.startswith("left out: onnx") for each in made.manifest.parity.skipped)
