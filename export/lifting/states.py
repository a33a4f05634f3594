"""The states of a lifted forward as the exporter knows states: names, axes, where they start."""

from collections.abc import Collection, Iterator

import torch

from carousel.export.discovery.layout import Layout
from carousel.export.discovery.state import States, StateVar
from carousel.export.discovery.states import session_value
from carousel.export.lifting.lifter import Lifted, NotLifted
from carousel.export.measured.axes import Fitted, fit_axes
from carousel.models.spec import BATCH

_BATCHES = (2, 3, 5)


def lifted_states(lifted: Lifted, layout: Layout) -> States:
    """The states; raises NotLifted for one whose start depends on the inputs or on other rows."""
    batches = _BATCHES if layout.batch else (0,)
    starts = [tuple(map(_real, lifted.start(batch))) for batch in batches]
    names = _unlike(lifted.names(), {*layout.sampler.axes, *layout.outputs})
    return States(
        tuple(
            _state(name, place, values, batches)
            for place, (name, values) in enumerate(
                zip(names, zip(*starts, strict=True), strict=True)
            )
        ),
        alone=(),
        computed=(),
        looped=(),
        step=lifted.step(),
    )


def _state(
    name: str, place: int, starts: tuple[torch.Tensor, ...], batches: tuple[int, ...]
) -> StateVar:
    """One state, from where it starts at several batch sizes."""
    sizes = [tuple(each.shape) for each in starts]
    fitted = fit_axes(sizes, batches, (0,) * len(batches)) if any(batches) else Fitted(sizes[0])
    if fitted is None:
        raise NotLifted(f"the state {name} has sizes {sizes} at batches of {batches}")
    if any(batches) and BATCH not in fitted.axes:
        raise SharedState(f"the state {name} is one for all rows of a batch")
    initial = session_value(list(starts), fitted.axes, fitted.fold)
    if initial is None:
        raise NotLifted(f"the state {name} starts elsewhere for other inputs or rows")
    return StateVar(
        name=name,
        argument=None,
        output=None,
        layer=None,
        part=place,
        axes=fitted.axes,
        fold=fitted.fold,
        dtype=starts[0].dtype,
        initial=initial if bool(initial.any()) else None,
    )


def _real(tensor: torch.Tensor) -> torch.Tensor:
    """Complex numbers as pairs of real ones."""
    return torch.view_as_real(tensor).clone() if tensor.is_complex() else tensor


class SharedState(NotLifted):
    """A state without rows: it may still be served, one row at a time."""


def _unlike(names: list[str], taken: Collection[str]) -> Iterator[str]:
    """Each name once, and none that an input or an output has."""
    used = set(taken)
    for name in names:
        found, count = name, 2
        while found in used:
            found, count = f"{name}_{count}", count + 1
        used.add(found)
        yield found
