"""What an example does not show is not claimed: long sequences, loud rows, special values."""

import re
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tests.export.cases.beyond as beyond
from carousel.export.errors import ExportError
from tests.harness.export_run import proven, run, start
from tests.harness.export_served import attempt, whole

X = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1))
WORDS = torch.randint(0, 90, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (beyond.Around(beyond.at_last_word), X),
        (beyond.Around(beyond.filled), X),
        (beyond.Segments(), WORDS),
    ],
)
def test_memory_that_no_state_holds_is_no_stream(module: nn.Module, example: torch.Tensor) -> None:
    """Or it is among the states of forward's own code: a padding of -1, what is no number, the word
    that ends a part.
    """
    made = attempt(module.eval(), (example,))
    assert not isinstance(made, ExportError)
    if made.manifest.spec.streaming == "none":
        return
    x = torch.randn(1, 30, 4)
    x[0, 9], x[0, 15] = -1, float("nan")
    words = torch.cat([torch.arange(90, 110), torch.arange(10)])[None]
    given = words if example is WORDS else x
    for kind in made.manifest.programs:
        with torch.no_grad():
            found = whole(made, kind, given, states=start(made, 1))
            torch.testing.assert_close(found, module(given), atol=1e-5, rtol=1e-5, equal_nan=True)


def test_steps_of_long_ago_are_states() -> None:
    """Or there is no stream: what is 300 steps old is not seen in a hundred."""
    torch.manual_seed(2)
    module = beyond.Around(beyond.far)
    made = proven(module, X)
    if made.manifest.spec.streaming == "none":
        return
    x = torch.randn(2, 700, 4)
    for kind in made.manifest.programs:
        with torch.no_grad():
            torch.testing.assert_close(whole(made, kind, x), module(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("module", [beyond.Around(beyond.halves), beyond.Resets(128)])
def test_what_python_decides_by_the_length_is_refused(module: nn.Module) -> None:
    """Also where it decides far beyond the example."""
    made = attempt(module, (X,))
    assert isinstance(made, ExportError)
    assert re.search(r"T=\d{4}", str(made))


def test_what_is_cut_off_is_the_longest_sequence() -> None:
    """And up to there every step is right."""
    torch.manual_seed(2)
    module = beyond.Around(beyond.cut)
    made = proven(module, X)
    assert made.manifest.spec.most_steps == 500
    x = torch.randn(2, 500, 4)
    for kind in made.manifest.programs:
        with torch.no_grad():
            torch.testing.assert_close(whole(made, kind, x), module(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("least", [1000.0, 32768.0])
def test_rows_that_meet_when_they_are_loud_run_alone(least: float) -> None:
    """Whatever number the module calls loud."""
    torch.manual_seed(2)
    made = attempt(beyond.Around(partial(beyond.by_the_loudest, least=least)), (X,))
    assert not isinstance(made, ExportError)
    assert not made.manifest.spec.has_batch
    assert made.manifest.spec.streaming == "none"


def test_classes_end_where_the_module_ends_them() -> None:
    """A class that eager refuses is the client's mistake."""
    made = proven(beyond.Around(beyond.one_hot, 7), torch.randint(0, 7, (2, 9)))
    assert (made.manifest.spec.inputs[0].low, made.manifest.spec.inputs[0].high) == (0, 6)


def test_states_in_a_dict_are_paired_by_their_own_names() -> None:
    """Not by what is left over; the rest is answered."""
    state = {"stoch": torch.zeros(2, 4), "deter": torch.zeros(2, 8)}
    spec = proven(beyond.Believes(), torch.randn(2, 2), state).manifest.spec
    assert [each.name for each in spec.outputs] == ["std"]
    assert {tuple(each.axes[1:]) for each in spec.states} == {(4,), (8,)}


def test_a_length_that_answers_nothing_is_too_short() -> None:
    """A spread of one step is no number; of three last steps one is too few."""
    spread = beyond.Around(lambda layer, x: layer(x)[0].std(1, correction=0) / (x.shape[1] - 1))
    made = attempt(spread, (X,))
    assert isinstance(made, ExportError) or made.manifest.spec.least_steps == 2
    flat = proven(beyond.Around(lambda layer, x: layer(x)[0][:, -3:].flatten(1)), X)
    assert flat.manifest.spec.least_steps == 3


@dataclass
class Kept:
    """A layer's state, and the frame before."""

    h: torch.Tensor
    c: torch.Tensor
    before: torch.Tensor


class Recalls(nn.Module):
    """Hears each frame beside the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(8, 6)

    def forward(self, x: torch.Tensor, kept: Kept) -> tuple[torch.Tensor, Kept]:
        """x (B, 4)."""
        h, c = self.cell(torch.cat([x, kept.before], -1), (kept.h, kept.c))
        return h, Kept(h, c, x)


def test_what_comes_back_beside_a_layers_state_under_its_own_name_is_one() -> None:
    """Nothing has to be asked."""
    kept = Kept(torch.zeros(2, 6), torch.zeros(2, 6), torch.zeros(2, 4))
    spec = proven(Recalls(), torch.randn(2, 4), kept).manifest.spec
    assert len(spec.states) == 3
    assert spec.streaming == "step"


class Decays(nn.Module):
    """Fills what is missing with what was there last: four inputs of one shape, two states."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.rate = nn.GRUCell(8, 6), nn.Linear(4, 6)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor,
        delta: torch.Tensor,
        h: torch.Tensor,
        last: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All (B, 4) but h (B, 6)."""
        filled = torch.where(mask > 0, x, last)
        decay = torch.exp(-torch.relu(self.rate(delta)))
        return self.cell(torch.cat([filled, mask], -1), h * decay), filled


def test_several_that_may_come_back_are_all_named() -> None:
    """The likeliest first, and what is proposed works."""
    x = torch.randn(2, 4)
    given = (x, torch.ones(2, 4), torch.rand(2, 4), torch.zeros(2, 6), torch.zeros(2, 4))
    made = attempt(Decays(), given)
    assert isinstance(made, ExportError)
    assert "states={'h': None, 'last': '1'}" in str(made)
    spec = proven(Decays(), *given, states={"h": None, "last": "1"}).manifest.spec
    assert [each.name for each in spec.states] == ["h", "last"]


class Passes(nn.Module):
    """Takes all in one dict that may be left out, and gives it back with what is next."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, data: dict[str, torch.Tensor] | None = None) -> dict[str, object]:
        """seen (B, 4), first (B, 1), h (B, 6)."""
        assert data is not None
        h = self.cell(data["seen"], torch.where(data["first"], 0.0, data["h"]))
        return {**data, "action": h.tanh(), "next": {"h": h}}


def test_what_is_handed_through_is_no_state() -> None:
    """Of a dict that holds inputs and a state, what changes is the state."""
    first = torch.zeros(3, 1, dtype=torch.bool)
    data = {"seen": torch.randn(3, 4), "first": first, "h": torch.zeros(3, 6)}
    spec = proven(Passes(), data).manifest.spec
    assert [each.name for each in spec.states] == ["h"]
    assert {each.name for each in spec.sent_inputs} == {"data.seen", "data.first"}


class OwnCell(nn.RNNCellBase):
    """A cell of somebody's own, made on the base of torch's."""

    def __init__(self) -> None:
        super().__init__(4, 6, bias=True, num_chunks=1)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """x (B, 4), h (B, 6) -> (B, 6)."""
        return torch.tanh(F.linear(x, self.weight_ih) + F.linear(h, self.weight_hh))


def test_a_cell_of_ones_own_is_what_its_forward_is() -> None:
    """And not the torch cell that it is built on."""
    torch.manual_seed(2)
    cell = OwnCell().eval()
    made = proven(cell, torch.randn(3, 4), torch.zeros(3, 6))
    assert [each.name for each in made.manifest.spec.states] == ["h"]
    x, h = torch.randn(2, 4), torch.randn(2, 6)
    for kind in made.manifest.programs:
        found = run(made, kind, {"x": x}, {"h": h}).states["h"]
        with torch.no_grad():
            torch.testing.assert_close(found, cell(x, h), atol=1e-6, rtol=1e-5)
