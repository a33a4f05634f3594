"""A stream remembers what its states hold and nothing else, whatever is sent."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import tests.export.cases.history as history
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError
from tests.harness.export_run import start
from tests.harness.export_served import attempt, whole

X = torch.rand(4, 9, 6, generator=torch.Generator().manual_seed(1))
WORDS = torch.randint(4, 20, (4, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("make", "example"),
    [
        (history.LoudestSoFar, (X,)),
        (history.Triggered, (X,)),
        (history.CountsWords, (WORDS,)),
        (history.AfterEnd, (WORDS,)),
        (history.Masked, (X, torch.ones(4, 9, dtype=torch.int64))),
        (history.Masked, (X, torch.ones(4, 9))),
    ],
)
def test_what_no_state_holds_is_no_stream(
    make: Callable[[], nn.Module], example: tuple[torch.Tensor, ...]
) -> None:
    """Loud and silent steps, every word and masks with holes show it, though the example has none;
    served whole with the reason, or refused, or among the states of forward's own code.
    """
    torch.manual_seed(2)
    module = make().eval()
    made = attempt(module, example)
    if isinstance(made, ExportError):
        assert "Way out: " in str(made)
        return
    if made.manifest.spec.streaming != "none":
        assert any("own code" in why for why in (made.manifest.origins or {}).values())
        check_unusual(module, made, words=example[0] is WORDS)
        return
    assert made.manifest.spec.streaming_reason


def check_unusual(module: nn.Module, made: Proven, *, words: bool) -> None:
    """Step by step what the whole answers, to loud and silent steps and to every word."""
    x = torch.randn(1, 40, 6)
    x[:, 7] *= 100
    x[:, [3, 9, 20]] = 0
    given = torch.arange(40).remainder(20)[torch.randperm(40)][None] if words else x
    for kind in made.manifest.programs:
        with torch.no_grad():
            found = whole(made, kind, given, states=start(made, 1))
            torch.testing.assert_close(found, module(given), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [history.Hears, history.Best])
def test_what_forward_keeps_by_itself_is_among_the_states(make: Callable[[], nn.Module]) -> None:
    """A count and a maximum, both beside a layer: every step is what the whole answers, loud and
    silent ones too.
    """
    torch.manual_seed(2)
    module = make().eval()
    made = attempt(module, (X,))
    assert not isinstance(made, ExportError)
    assert made.manifest.spec.streaming == "step"
    x = torch.randn(1, 30, 6)
    x[:, 7] *= 100
    x[:, [3, 9, 20]] = 0
    batch = 1 if made.manifest.spec.has_batch else 0
    for kind in made.manifest.programs:
        found = whole(made, kind, x, states=start(made, max(batch, 1)))
        with torch.no_grad():
            torch.testing.assert_close(found, module(x), atol=1e-4, rtol=1e-5)


def test_a_plain_layer_streams_under_the_same_looks() -> None:
    """Nothing is held against it."""
    torch.manual_seed(2)
    made = attempt(history.Layered(), (X,))
    assert not isinstance(made, ExportError)
    assert made.manifest.spec.streaming == "step"
