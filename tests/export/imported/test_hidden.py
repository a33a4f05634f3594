"""State that a TorchScript module keeps where no caller sees it: found, and named."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.export.imported.foreign.files import script_bytes
from tests.export.imported.foreign.hidden import Explicit, Hidden
from tests.export.imported.outcome import run_import

FLAGS = ("--input", "x:float32:1,4", "--input", "h:float32:1,4", "--state", "h=output_1")


class Counter(Hidden):
    """Counts its calls, and is silent for the first 500 of them."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x and h (1, 4)."""
        self.calls.add_(1)
        h = torch.tanh(self.linear(x) + h)
        return h * (self.calls > 500).float(), h


class Delay(Hidden):
    """Adds what came two calls ago."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(1, 4)
        self.before = torch.zeros(1, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x and h (1, 4)."""
        y = self.linear(x) + self.before + h
        self.before = self.last
        self.last = x
        return y, torch.tanh(h + x)


class Listed(Hidden):
    """Keeps it in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = [torch.zeros(1, 4)]

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x and h (1, 4)."""
        kept = torch.tanh(self.linear(x) + self.memory[-1])
        self.memory[0] = kept
        return kept + h, torch.tanh(h + x)


class Numbered(Hidden):
    """Keeps a number that its answers do not show."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x and h (1, 4)."""
        self.steps = self.steps + 1
        h = torch.tanh(self.linear(x) + h)
        return h * float(self.steps < 5000), h


class Copied(nn.Module):
    """Copies the state of what it wraps into a buffer."""

    hidden: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner = Explicit()
        self.register_buffer("hidden", torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        """x (1, 4)."""
        y, state = self.inner(x, self.hidden)
        self.hidden.copy_(state)
        return torch.clone(y)


class Wraps(nn.Module):
    """Hides nothing itself."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Counter()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x and h (1, 4)."""
        y, h = self.part(x, h)
        return y, h


class Settles(Hidden):
    """Writes the same into an attribute again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = torch.ones(1, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x and h (1, 4)."""
        self.mask = torch.ones_like(self.mask)
        h = torch.tanh(self.linear(x * self.mask) + h)
        return h * 2, h


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Counter(), "keeps its state in the buffers calls"),
        (Delay(), "keeps its state in the attributes before, last"),
        (Listed(), "keeps its state in the attributes memory"),
        (Numbered(), "keeps its state in the attributes steps"),
        (Wraps(), "keeps its state in the buffers part.calls"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_what_runs_leave_in_a_module_is_named(
    tmp_path: Path, module: nn.Module, words: str
) -> None:
    """Even if no answer has shown it yet."""
    outcome = run_import(tmp_path, script_bytes(module), *FLAGS, "--sent", "x")
    assert outcome.code == 1, outcome.said
    assert words in outcome.said


def test_the_part_that_takes_a_copied_state_is_named(tmp_path: Path) -> None:
    """The buffer is named, and the flag; with it the part is served."""
    data = script_bytes(Copied())
    outcome = run_import(tmp_path, data, "--input", "x:float32:1,4")
    assert outcome.code == 1
    assert "keeps its state in the buffers hidden" in outcome.said
    assert "--submodule inner" in outcome.said
    shapes = ("--input", "x:float32:1,4", "--input", "state:float32:1,4")
    pair = ("--state", "state=output_1")
    assert run_import(tmp_path, data, "--submodule", "inner", *shapes, *pair).code == 0


def test_an_attribute_that_stays_as_it_is_is_served(tmp_path: Path) -> None:
    """Writing the same value keeps nothing."""
    outcome = run_import(tmp_path, script_bytes(Settles()), *FLAGS, "--sent", "x")
    assert outcome.code == 0, outcome.said
