"""Forwards whose own code hides their state: each is streamed, and every step is what the whole
module answers; what is no stream is refused or served as a whole.
"""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError
from carousel.export.lifting.plan import After, Start
from carousel.export.lifting.sites import Key, Site
from carousel.export.lifting.ways import assignments
from carousel.models.manifest import ProgramKind
from tests.export.lifting import (
    attributes,
    cells,
    first,
    flags,
    gates,
    in_scripts,
    memory,
    mixed,
    ops,
    refused,
    robots,
    shifts,
    writes,
)
from tests.export.lifting.case import Case
from tests.harness.export_run import Tensors, run, start
from tests.harness.export_served import attempt

CASES: Mapping[str, Case] = {
    name: case
    for group in (
        attributes,
        cells,
        first,
        flags,
        gates,
        memory,
        mixed,
        ops,
        refused,
        robots,
        in_scripts,
        shifts,
        writes,
    )
    for name, case in group.CASES.items()
}
# What is not lifted yet, and why; each is refused or served whole, as the table says of others.
NOT_YET = {
    "step_counter": "divides by a number that Python counts",
    "time_aware_lstm": "its example's times rise, and what is drawn from them does not",
}
STREAMED = [
    name for name, case in CASES.items() if case.outcome in ("step", "last") and name not in NOT_YET
]
REFUSED = [name for name in CASES if name not in STREAMED]
STEPS = 40
TOLERANCE = 2e-5


def made_of(name: str) -> tuple[nn.Module, Proven | ExportError]:
    """The module and what its export gave."""
    torch.manual_seed(0)
    module = CASES[name].make().eval()
    # Enough to tell rounding that adds up from a fault; tests/export/test_long.py looks further.
    return module, attempt(module, CASES[name].example(), loop_steps=1200)


def stream(made: Proven, kind: ProgramKind, given: tuple[Tensor, ...], batch: int) -> list[Tensors]:
    """What each step answers, one step a call."""
    spec = made.manifest.spec
    names = [each.name for each in spec.inputs]
    inputs = dict(zip(names, given, strict=True))
    axes = {each.name: each.time_axis for each in spec.inputs}
    states, found = start(made, batch), list[Tensors]()
    for step in range(STEPS):
        part = {
            name: each if axes[name] is None else each.narrow(axes[name] or 0, step, 1)
            for name, each in inputs.items()
        }
        lengths = None if made.manifest.programs[kind].lengths is None else [1] * batch
        answer = run(made, kind, part, states, lengths)
        found.append(answer.outputs)
        states = answer.states
    return found


@pytest.mark.parametrize("name", STREAMED)
def test_every_step_is_what_the_whole_module_answers(name: str) -> None:
    """In both programs, for other rows and more steps than the example has."""
    module, made = made_of(name)
    assert not isinstance(made, ExportError), str(made)
    spec, case = made.manifest.spec, CASES[name]
    assert spec.streaming == case.outcome
    assert all(
        "kept by" in why or "hidden" in why for why in (made.manifest.origins or {}).values()
    )
    batch = 3 if spec.has_batch else 1
    given = case.example(batch, STEPS)
    with torch.no_grad():
        whole = module(*given)
    for kind in made.manifest.programs:
        answers = stream(made, kind, given, batch)
        output = spec.outputs[0]
        found = answers[-1][output.name]
        if output.time_axis is not None:
            found = torch.cat([each[output.name] for each in answers], output.time_axis)
        scale = max(1.0, whole.abs().max().item())
        torch.testing.assert_close(found, whole, atol=TOLERANCE * scale, rtol=TOLERANCE)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_stream_is_not_called_one(name: str) -> None:
    """Whole sequences as the module answers them, or a refusal with a way out."""
    module, made = made_of(name)
    if isinstance(made, ExportError):
        assert "Way out: " in str(made)
        return
    spec, case = made.manifest.spec, CASES[name]
    assert spec.streaming in ("none", *case.also)
    given = case.example()
    with torch.no_grad():
        whole = module(*given)
    inputs = dict(zip([each.name for each in spec.inputs], given, strict=True))
    if not spec.has_batch:
        return
    for kind, program in made.manifest.programs.items():
        lengths = None if program.lengths is None else [given[0].shape[1]] * len(given[0])
        found = run(made, kind, inputs, start(made, len(given[0])), lengths).outputs
        torch.testing.assert_close(found[spec.outputs[0].name], whole, atol=1e-5, rtol=1e-5)


class Placed(nn.Module):
    """A layer over its input and a table of places."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer = nn.Embedding(64, 4), nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        found: Tensor = self.layer(x + self.table(torch.arange(x.shape[1])))[0]
        return found


def test_rows_of_one_run_stand_at_places_of_their_own() -> None:
    """A session in its fifth step beside one that begins."""
    torch.manual_seed(3)
    module = Placed().eval()
    made = attempt(module, (torch.randn(3, 9, 4),))
    assert not isinstance(made, ExportError)
    spec = made.manifest.spec
    assert spec.has_batch
    assert [each.name for each in spec.states] == ["h", "position"]
    x = torch.randn(2, 8, 4)
    with torch.no_grad():
        wanted = module(x)[0, 4:], module(x[:, 4:])[1]
    for kind in made.manifest.programs:
        states = start(made, 2)
        for step in range(8):
            if step == 4:
                begun = start(made, 2)
                states = {
                    each.name: torch.cat(
                        [
                            states[each.name].narrow(each.batch_axis or 0, 0, 1),
                            begun[each.name].narrow(each.batch_axis or 0, 1, 1),
                        ],
                        each.batch_axis or 0,
                    )
                    for each in spec.states
                }
            answer = run(made, kind, {"x": x[:, step : step + 1]}, states)
            states = answer.states
            for row in range(2) if step >= 4 else ():
                found = answer.outputs[spec.outputs[0].name][row, 0]
                torch.testing.assert_close(found, wanted[row][step - 4], atol=1e-5, rtol=1e-5)


class Delays(nn.Module):
    """What came one and two steps before, both from one zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.randn(4)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        one = two = torch.zeros_like(x[:, 0])
        found = []
        for now in x.unbind(1):
            found.append(now + self.first * one + self.second * two)
            two, one = one, now
        return torch.stack(found, 1)


class Begins(nn.Module):
    """A mean that starts at the first step, by a rate that is sent beside."""

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        """x (B, T, 4), rate (B, 4)."""
        mean = x[:, 0]
        found = [mean]
        for step in range(1, x.shape[1]):
            mean = rate.sigmoid() * x[:, step] + (1 - rate.sigmoid()) * mean
            found.append(mean)
        return torch.stack(found, 1)


@pytest.mark.parametrize(("make", "sizes"), [(Delays, [(3, 9, 4)]), (Begins, [(3, 9, 4), (3, 4)])])
def test_states_that_hand_on_and_states_that_begin(
    make: type[nn.Module], sizes: list[tuple[int, ...]]
) -> None:
    """Filters of several steps, and what only the first step's inputs tell."""
    torch.manual_seed(6)
    module = make().eval()
    made = attempt(module, tuple(torch.randn(each) for each in sizes))
    assert not isinstance(made, ExportError), str(made)
    assert made.manifest.spec.streaming == "step"
    given = tuple(torch.randn(2, *([STEPS] if len(each) > 2 else []), 4) for each in sizes)
    with torch.no_grad():
        wanted = module(*given)
    for kind in made.manifest.programs:
        answers = stream(made, kind, given, 2)
        found = torch.cat([next(iter(each.values())) for each in answers], 1)
        torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)


def test_values_that_do_not_go_round_are_found_out_at_once() -> None:
    """Of delays in lists twenty may want nineteen: no way is walked, where there are billions."""
    starts = [Start(Key(Site("zeros", ()), index)) for index in range(20)]
    values: list[After] = [Key(Site("linear", ()), index) for index in range(19)]
    assert list(assignments(dict.fromkeys(starts, values))) == []
    assert len(list(assignments(dict.fromkeys(starts[:3], values[:3])))) == 6
