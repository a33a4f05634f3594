"""What a forward does only after thousands of steps, and what lengths beside a loop mean."""

import pytest
import torch
from torch import Tensor, nn

from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError
from tests.harness.export_run import run, start
from tests.harness.export_served import attempt

_PERIOD = 1400


class Config:
    """Of a model, as libraries have it."""

    def __init__(self) -> None:
        self.warmup = 1300


class Cell(nn.Module):
    """A cell in a loop; `after` says what else it does at a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)
        self.config = Config()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 3] to [B, T, 4]."""
        h = x.new_zeros(x.shape[0], 4)
        outs = []
        for t in range(x.shape[1]):
            h = self.after(self.cell(x[:, t], h), t)
            outs.append(h)
        return torch.stack(outs, 1)

    def after(self, h: Tensor, t: int) -> Tensor:
        """The state that goes on."""
        return h


class ByNumber(Cell):
    """A number in the code."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return torch.zeros_like(h) if t % 1250 == 1249 else h


class ByGlobal(Cell):
    """A number of the file."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return torch.zeros_like(h) if t > 0 and t % _PERIOD == 0 else h


class ByConfig(Cell):
    """A number of the configuration."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Is halved once it is warm."""
        return h if t < self.config.warmup else h / 2


class ByFunction(Cell):
    """A number in what forward calls."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Is kept small by the end."""
        return _late(h, t)


def _late(h: Tensor, t: int) -> Tensor:
    return h if t != 1100 else h * 0


class ByClass(Cell):
    """A number of the class, times one of the module."""

    HALF = 750.0

    def after(self, h: Tensor, t: int) -> Tensor:
        """Is halved."""
        return h if t < self.HALF * len(("both", "halves")) else h / 2


class ByLength(nn.Module):
    """Another way for sequences that are very long."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 3] to [B, T, 4]."""
        found: Tensor = self.layer(x)[0]
        return found if x.shape[1] <= 2048 else found * 2


@pytest.mark.parametrize("kind", [ByNumber, ByGlobal, ByConfig, ByFunction, ByClass])
def test_a_loop_that_does_something_else_later_is_refused(kind: type[Cell]) -> None:
    """Whatever number it goes by, and wherever that stands."""
    torch.manual_seed(0)
    assert isinstance(attempt(kind().eval(), (torch.randn(2, 6, 3),)), ExportError)


def test_a_loop_that_does_not_is_served() -> None:
    """The same loop without such a number."""
    torch.manual_seed(0)
    made = attempt(Cell().eval(), (torch.randn(2, 6, 3),))
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"


class Scaled(nn.Module):
    """A layer, and a number of which two more are odd."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.most = 1501

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        out: Tensor = self.lstm(x)[0]
        return out[:, -1] * (self.most / 1500)


def test_a_layer_streams_where_the_long_run_is_of_an_odd_length() -> None:
    """It is halved whole."""
    torch.manual_seed(0)
    made = attempt(Scaled().eval(), (torch.randn(2, 9, 4),))
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "last"


def test_another_way_for_very_long_sequences_is_seen() -> None:
    """The program, which has one way, is not said to be right for both."""
    torch.manual_seed(0)
    assert isinstance(attempt(ByLength().eval(), (torch.randn(2, 6, 3),)), ExportError)


class Masked(Cell):
    """A state that stays where it is beyond the end of its row."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """x [B, T, 3], lengths [B] to [B, T, 4]."""
        h = x.new_zeros(x.shape[0], 4)
        outs = []
        for t in range(x.shape[1]):
            h = torch.where((t < lengths).unsqueeze(1), self.cell(x[:, t], h), h)
            outs.append(h)
        return torch.stack(outs, 1)


class Last(Cell):
    """The answer at the end of each row."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """x [B, T, 3], lengths [B] to [B, 4]."""
        return super().forward(x)[torch.arange(x.shape[0]), lengths - 1]


class Switches(Cell):
    """The number of steps after which another cell goes on: no end of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.GRUCell(3, 4)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """x [B, T, 3], lengths [B] to [B, T, 4]."""
        h = x.new_zeros(x.shape[0], 4)
        outs = []
        for t in range(x.shape[1]):
            first = (t < lengths).unsqueeze(1)
            h = torch.where(first, self.cell(x[:, t], h), self.other(x[:, t], h))
            outs.append(h)
        return torch.stack(outs, 1)


class Shares(Cell):
    """Its answers depend on the share of padding: rows alone are answered otherwise."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """x [B, T, 3], lengths [B] to [B, T, 4]."""
        return super().forward(x) * (lengths / x.shape[1]).reshape(-1, 1, 1)


@pytest.mark.parametrize(("kind", "streaming"), [(Masked, "step"), (Last, "last")])
def test_lengths_beside_a_loop_are_those_of_rows_without_padding(
    kind: type[Cell], streaming: str
) -> None:
    """Nobody sends them, and each row is answered as forward answers it in a padded batch."""
    torch.manual_seed(0)
    module = kind().eval()
    lengths = torch.tensor([6, 3])
    made = attempt(module, (torch.randn(2, 6, 3), lengths))
    assert isinstance(made, Proven)
    assert [each.name for each in made.manifest.spec.inputs] == ["x"]
    assert made.manifest.spec.streaming == streaming
    assert any("lengths is how long each row is" in note for note in made.manifest.parity.skipped)
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        padded = module(x, lengths)
    for kind_of in made.manifest.programs:
        states, found = start(made, 1), []
        for step in range(3):
            answer = run(made, kind_of, {"x": x[1:, step : step + 1]}, states)
            states = answer.states
            found.append(answer.outputs["output"])
        wanted = padded[1:, :3] if streaming == "step" else padded[1:]
        own = torch.cat(found, 1) if streaming == "step" else found[-1]
        torch.testing.assert_close(own, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [Shares, Switches])
def test_what_depends_on_the_padding_is_no_length_of_rows(kind: type[Cell]) -> None:
    """It is refused, or takes its lengths from the client."""
    torch.manual_seed(0)
    made = attempt(kind().eval(), (torch.randn(2, 6, 3), torch.tensor([6, 3])))
    if isinstance(made, Proven):
        assert "lengths" in [each.name for each in made.manifest.spec.inputs]
        assert made.manifest.spec.streaming == "none"
