"""Torch's own layers in a forward that treats its first step otherwise: of several steps in one run
only the last goes through, from the state that the steps before have left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from carousel.export.lifting.finders import grown_axis
from carousel.export.lifting.recording import LAYERS, Call, Recording
from carousel.export.lifting.scans import Scan

_BIDIRECTIONAL = -2  # of the arguments


@dataclass(frozen=True, slots=True)
class Layer(Scan):
    """One call of such a layer, from zeros."""

    def start(self, call: Call, batch: int) -> tuple[torch.Tensor, ...]:
        """Its state before the first step, as the call has it."""
        return tuple(each.detach().clone() for each in _states(call))

    def step(
        self, kept: tuple[torch.Tensor, ...], func: Any, args: Any, kwargs: Any, copies: int = 1
    ) -> tuple[Any, tuple[torch.Tensor, ...]]:
        """The output of one step, in the place of all, and the state after it."""
        x = args[0]
        size = x.shape[self.dim]
        last = x.narrow(self.dim, size - 1, 1)
        given = kept if isinstance(args[1], (list, tuple)) else kept[0]
        out, *after = func(last, given, *args[2:], **kwargs)
        return (torch.cat([out] * size, self.dim), *after), tuple(after)

    def names(self) -> tuple[str, ...]:
        """As torch calls them."""
        return ("h", "c")[: LAYERS[self.kind]]


def find_layers(one: Recording, two: Recording) -> Iterator[Layer]:
    """Those of a forward, from runs of some steps and of one more."""
    longer = {(call.site, call.occurrence): call for call in two.calls}
    for call in one.calls:
        other = longer.get((call.site, call.occurrence))
        if other is None or call.site.function not in LAYERS or call.args[_BIDIRECTIONAL] is True:
            continue
        axis = grown_axis(call.args[0], other.args[0])
        states = _states(call)
        if axis is not None and states and not any(bool(each.any()) for each in states):
            yield Layer((call.site, call.occurrence), call.site.function, axis)


def _states(call: Call) -> tuple[torch.Tensor, ...]:
    """What it starts from; nothing of a packed sequence, which has sizes there."""
    given = call.args[1]
    several = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    return several if all(each.dim() == call.args[0].dim() for each in several) else ()
