"""Layers that run a window of steps in every call, whose state goes nowhere."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from carousel.export.module.layers import LayerCall


@dataclass(frozen=True, slots=True)
class Window:
    """A layer that runs `steps` steps in every call of a forward without time axis, or from both
    ends: what it ends a call with is not where the next call starts. `fed`: from outside.
    """

    path: str
    steps: int
    bidirectional: bool
    fed: bool


def find_windows(
    layers: Mapping[str, nn.Module],
    calls: Mapping[str, list[list[LayerCall]]],
    fed: Collection[str | None],
) -> Iterator[tuple[str, Window]]:
    """Those of a forward without time axis, by path."""
    for path, ((first, *more), *_) in calls.items():
        if any((call.steps or 1) > 1 for call in more):
            continue  # no loop over a window: one layer for several inputs, which has no one state
        steps = (first.steps or 1) if not more else 1 + len(more)
        bidirectional = bool(getattr(layers[path], "bidirectional", False))
        if steps > 1 or bidirectional:
            yield path, Window(path, steps, bidirectional, path in fed)
