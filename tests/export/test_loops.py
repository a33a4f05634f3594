"""A loop over time written by hand is served step by step, whatever library it is from."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import tests.export.cases.loops as loops
import tests.export.cases.traps as traps
from tests.harness.export_run import proven, start, zeros
from tests.harness.export_served import rows, serve, whole


@dataclass(frozen=True, slots=True)
class Loop:
    """A module, the shape of its state for three rows, and where its time axis stands."""

    make: Callable[[], nn.Module]
    state: tuple[int, ...]
    time: int = 1


LOOPS = {
    "cfc": Loop(loops.Cfc, (3, 8)),
    "ltc": Loop(loops.Ltc, (3, 8)),
    "ligru": Loop(loops.LiGru, (1, 3, 8)),
    "two ligrus": Loop(loops.TwoLiGru, (2, 3, 8)),
    "time first": Loop(loops.TimeFirst, (3, 8), 0),
    "layer and loop": Loop(loops.Mixed, (3, 8)),
    "preallocated": Loop(loops.Preallocated, (3, 8)),
}


def _frames(loop: Loop, batch: int, steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(10 * batch + steps)
    x = torch.randn(batch, steps, 6, generator=generator)
    return x if loop.time == 1 else x.transpose(0, 1).contiguous()


@pytest.mark.parametrize("given", [False, True], ids=["state left out", "state given"])
@pytest.mark.parametrize("case", LOOPS)
def test_a_loop_with_its_state_returned_runs_one_step_at_a_time(case: str, given: bool) -> None:
    """At any length and batch, from zeros and from any state."""
    loop = LOOPS[case]
    torch.manual_seed(4)
    module = loop.make()
    state = torch.zeros(loop.state)
    example = _frames(loop, 3, 5)
    made = proven(module, *((example, state) if given else (example,)))
    spec = made.manifest.spec
    assert (spec.run_steps, spec.streaming, spec.has_batch) == (1, "step", True)
    assert len(spec.states) == (2 if case == "layer and loop" else 1)
    carried = next(each for each in spec.states if "hx" in (each.name, *each.name.split(".")))
    for batch, steps in ((1, 1), (3, 7), (3, 30)):
        x = _frames(loop, batch, steps)
        shape = [batch if size == 3 else size for size in loop.state]
        for begun in (torch.zeros(shape), torch.randn(shape) * 0.5):
            with torch.no_grad():
                expected, final = module.eval()(x, begun)
            name = spec.inputs[0].name
            for kind in made.manifest.programs:
                states = zeros(made, rows(made, {name: x})) | {carried.name: begun}
                answer = serve(made, kind, {name: x}, states)
                found = answer.outputs[spec.outputs[0].name]
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
                last = answer.states[carried.name]
                torch.testing.assert_close(last, final, atol=1e-5, rtol=1e-5)


class RollsOut(nn.Module):
    """Encodes a sequence, and goes on from its last answer with the same layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, 6) -> (B, 4, 6)."""
        y, h = self.layer(x)
        found = [self.head(y[:, -1])]
        for _ in range(3):
            y, h = self.layer(found[-1][:, None], h)
            found.append(self.head(y[:, 0]))
        return torch.stack(found, 1)


@pytest.mark.parametrize(("make", "count"), [(RollsOut, 1), (traps.CalledTwice, 2)])
def test_a_layer_that_is_called_several_times_has_a_state_for_each_sequence(
    make: type[nn.Module], count: int
) -> None:
    """What goes on from it is made anew at every step."""
    torch.manual_seed(4)
    module = make().eval()
    made = proven(module, *[torch.randn(3, 5, 6)] * count)
    assert made.manifest.spec.is_streamable
    given = [torch.randn(2, 9, 6) for _ in range(count)]
    for kind in made.manifest.programs:
        found = whole(made, kind, *given, states=start(made, 2))
        with torch.no_grad():
            torch.testing.assert_close(found, module(*given), atol=1e-5, rtol=1e-5)
