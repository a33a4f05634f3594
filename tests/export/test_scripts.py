"""TorchScript in `export_model`: taken where its states are arguments; nothing inside is seen."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError, ExportRefused
from tests.harness.export_run import proven_by, run, start
from tests.harness.export_served import attempt

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Layer(nn.Module):
    """A layer whose state comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 6)."""
        y, h = self.gru(x, h)
        return self.drop(y), h


class Hidden(nn.Module):
    """The same layer, whose state nobody sees."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        y: Tensor = self.gru(x)[0]
        return y


class Counts(Layer):
    """It counts its calls, which is nobody's state."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 6)."""
        self.calls.add_(1)
        y, h = self.gru(x, h)
        return torch.where(self.calls > 100, y * 2, y), h


class Sets(Counts):
    """It sets what it keeps anew."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 6)."""
        self.calls = torch.maximum(self.calls, x.abs().amax().reshape(1))
        y, h = self.gru(x, h)
        return y / self.calls, h


class Around(nn.Module):
    """Python around a script."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = script(inside)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 6)."""
        y, h = self.inside(x / 2, h)
        return y + x.sum(-1, True), h


X, H = torch.randn(2, 7, 4), torch.randn(1, 2, 6)


def script(module: nn.Module) -> nn.Module:
    """As it is compiled."""
    found: nn.Module = torch.jit.script(module)
    return found


def traced(module: nn.Module) -> nn.Module:
    """As it is recorded, so that its code has no Python left."""
    found: nn.Module = torch.jit.trace(module.eval(), (X, H))  # type: ignore[no-untyped-call]
    return found


def frozen(module: nn.Module) -> nn.Module:
    """Without weights of its own."""
    found: nn.Module = torch.jit.freeze(script(module.eval()))
    return found


@pytest.mark.parametrize("make", [script, traced, Around], ids=lambda each: each.__name__)
def test_a_script_that_takes_its_state_is_streamed(make: Callable[[nn.Module], nn.Module]) -> None:
    """In both programs, step by step as the script answers the whole; it stays what it was."""
    torch.manual_seed(0)
    module = make(Layer()).eval()
    made = attempt(module, (X, H))
    assert isinstance(made, Proven), str(made)
    assert made.manifest.spec.streaming == "step"
    x = torch.randn(3, 5, 4)
    with torch.no_grad():
        whole = module(x, torch.zeros(1, 3, 6))[0]
    for kind in made.manifest.programs:
        states: Any = start(made, 3)
        found = []
        for step in range(5):
            lengths = None if made.manifest.programs[kind].lengths is None else [1, 1, 1]
            answer = run(made, kind, {"x": x[:, step : step + 1]}, states, lengths)
            states = answer.states
            found.append(answer.outputs[made.manifest.spec.outputs[0].name])
        torch.testing.assert_close(torch.cat(found, 1), whole, atol=1e-5, rtol=1e-5)


def test_a_script_that_hides_its_state_is_refused() -> None:
    """Served whole it would look like a model that has none."""
    made = attempt(script(Hidden()), (X,))
    assert isinstance(made, ExportError)
    assert "let it take its state and return it" in str(made)


@pytest.mark.parametrize("kind", [Counts, Sets])
@pytest.mark.parametrize("make", [script, Around], ids=lambda each: each.__name__)
def test_a_script_that_changes_what_it_keeps_is_refused(
    make: Callable[[nn.Module], nn.Module], kind: type[Counts]
) -> None:
    """It could not be put back, and is left as it was."""
    module = make(kind()).eval()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    with pytest.raises(ExportRefused, match="which cannot be put back"):
        proven_by(module, (X, H))
    for name, each in module.state_dict().items():
        torch.testing.assert_close(each, before[name], rtol=0, atol=0)


def test_complex_inputs_are_refused_in_words() -> None:
    """With the way to send them."""
    with pytest.raises(ExportRefused, match="complex numbers, which clients do not send"):
        proven_by(Hidden(), (torch.randn(2, 7, 4, dtype=torch.complex64),))


def test_a_frozen_script_is_refused() -> None:
    """It cannot be looked into, nor put back."""
    with pytest.raises(ExportRefused, match=r"before torch\.jit\.freeze"):
        proven_by(frozen(Layer()), (X, H))
