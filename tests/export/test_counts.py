"""Integers beside a sequence: row lengths and labels are told apart by running, whatever they are
in the example.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel.export.artifact.record import Proven
from tests.harness.export_run import start
from tests.harness.export_served import attempt, serve


class Base(nn.Module):
    """A layer over x (B, T, 4), and integers (B,)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.table, self.out = nn.Embedding(12, 6), nn.Linear(6, 3)

    def layer(self, x: Tensor) -> Tensor:
        """What the layer says to each step."""
        found: Tensor = self.lstm(x)[0]
        return found


class Labelled(Base):
    """A class of each row, added to every step."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """To (B, T, 3)."""
        y: Tensor = self.out(self.layer(x) + self.table(label).unsqueeze(1))
        return y


class LabelledLast(Base):
    """The same at the end alone."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """To (B, 3)."""
        y: Tensor = self.out(self.layer(x)[:, -1] + self.table(label))
        return y


class Scaled(Base):
    """A number of each row that scales every step."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """To (B, T, 3)."""
        y: Tensor = self.out(self.layer(x)) * label.float().view(-1, 1, 1)
        return y


class LabelledByHand(Base):
    """A class that goes into every step of a loop."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """To (B, T, 6)."""
        h, found = x.new_zeros(x.shape[0], 6), []
        for t in range(x.shape[1]):
            h = torch.tanh(self.table(label) + 0.5 * h + nn.functional.pad(x[:, t], (0, 2)))
            found.append(h)
        return torch.stack(found, 1)


class Packed(Base):
    """Lengths of padded rows."""

    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        """To (B, T, 3)."""
        packed = pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        found: Tensor = self.out(y)
        return found


class Masked(Base):
    """Lengths as a mask."""

    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        """To (B, T, 3)."""
        mask = torch.arange(x.shape[1]) < n.unsqueeze(1)
        y: Tensor = self.out(self.layer(x)) * mask.unsqueeze(-1)
        return y


class Averaged(Masked):
    """Lengths as a mask and as a divisor."""

    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        """To (B, 3)."""
        found: Tensor = super().forward(x, n).sum(1) / n.unsqueeze(1)
        return found


class Picked(Base):
    """Lengths as the place of what is answered."""

    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        """To (B, 3)."""
        found: Tensor = self.out(self.layer(x)[torch.arange(x.shape[0]), n - 1])
        return found


X = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))
AS_MANY = torch.tensor([2, 5, 3])  # the largest is what X has of steps


@pytest.mark.parametrize("kind", [Labelled, LabelledLast, Scaled, LabelledByHand])
@pytest.mark.parametrize("label", [AS_MANY, torch.tensor([5, 5, 5]), torch.tensor([2, 4, 3])])
def test_a_label_is_no_length_whatever_it_is(kind: type[Base], label: Tensor) -> None:
    """It streams, and takes every label that the module takes, also more than there are steps."""
    torch.manual_seed(0)
    module = kind().eval()
    made = attempt(module, (X, label))
    assert isinstance(made, Proven), str(made)
    spec = made.manifest.spec
    assert spec.streaming in ("step", "last")
    assert [each.counts_steps for each in spec.inputs] == [None, None]
    given = torch.tensor([0, 11, 7])
    with torch.no_grad():
        whole = module(X, given)
    for program in made.manifest.programs:
        answer = serve(made, program, {"x": X, "label": given}, start(made, 3))
        torch.testing.assert_close(answer.outputs[spec.outputs[0].name], whole)


@pytest.mark.parametrize("kind", [Averaged, Picked])
def test_lengths_are_bounded_by_the_steps_alone(kind: type[Base]) -> None:
    """Never by what a probe happened to have."""
    made = attempt(kind().eval(), (X, AS_MANY))
    assert isinstance(made, Proven), str(made)
    (n,) = (each for each in made.manifest.spec.inputs if each.name == "n")
    assert (n.counts_steps, n.low, n.high) == (True, 1, None)


@pytest.mark.parametrize("kind", [Packed, Masked])
def test_lengths_that_only_end_rows_are_sent_by_nobody(kind: type[Base]) -> None:
    """Rows come without their padding, and stream."""
    made = attempt(kind().eval(), (X, AS_MANY))
    assert isinstance(made, Proven), str(made)
    assert [each.name for each in made.manifest.spec.inputs] == ["x"]
    assert made.manifest.spec.streaming == "step"
