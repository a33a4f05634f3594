"""Sessions that began apart and share a run: each goes on with its own state."""

import pytest
import torch
from torch import Tensor, nn

from carousel.export.errors import ExportRefused
from tests.export.cases import apart
from tests.harness.export_run import proven, run, start

X = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "more"),
    [(apart.Both, ()), (apart.Flipped, ()), (apart.Sorted, (torch.tensor([7, 3]),))],
)
def test_states_in_another_order_than_rows_are_refused(
    kind: type[nn.Module], more: tuple[Tensor, ...]
) -> None:
    """A server knows of no order but that of the rows; what helps is said."""
    torch.manual_seed(0)
    with pytest.raises(ExportRefused, match="began apart") as refused:
        proven(kind(), X, *more)
    assert "side by side" in str(refused.value)


def test_the_way_out_is_one() -> None:
    """Side by side, or one row at a time."""
    torch.manual_seed(0)
    module = apart.Beside().eval()
    made = proven(module, X)
    assert made.manifest.spec.has_batch
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = module(x)
    for kind in made.manifest.programs:
        lengths = made.manifest.programs[kind].lengths
        states = []
        for row, steps in enumerate((2, 4)):
            given = {"x": x[row : row + 1, :steps]}
            before = start(made, 1)
            after = run(made, kind, given, before, [steps] if lengths else None).states
            states.append({**before, **after})
        both = {
            each.name: torch.cat([state[each.name] for state in states], each.batch_axis or 0)
            for each in made.manifest.spec.states
        }
        step = torch.stack([x[0, 2:3], x[1, 4:5]])
        found = run(made, kind, {"x": step}, both, [1, 1] if lengths else None).outputs
        [output] = found.values()
        torch.testing.assert_close(
            output, torch.stack([wanted[0, 2:3], wanted[1, 4:5]]), atol=1e-5, rtol=1e-5
        )
    torch.manual_seed(0)
    alone = proven(apart.Both(), X[:1], axes={"x": (1, "time", 4)}).manifest.spec
    assert (alone.streaming, alone.has_batch) == ("step", False)
