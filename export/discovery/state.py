"""One state of a module: where it goes in, where it comes out, and where it starts."""

from dataclasses import dataclass

import torch
from torch import nn

from carousel.export.discovery.windows import Window
from carousel.export.errors import ExportRefused
from carousel.export.measured.sampling import Axes
from carousel.export.module.original import Observation


@dataclass(frozen=True, slots=True)
class StateVar:
    """One state tensor: where it goes in, where it comes out, and where it starts.

    `argument` and `output` name tensors of `forward`; without them the state goes into `layer` as
    its initial state and comes out as its final one (`part`: 0 for h, 1 for c). Without a layer
    too it is kept by forward's own code, `part` among others. `initial` is in session shape, None
    for zeros. A `fixed` state goes in as `argument` and never comes out.
    """

    name: str
    argument: str | None
    output: str | None
    layer: str | None
    part: int
    axes: Axes
    fold: int
    dtype: torch.dtype
    initial: torch.Tensor | None
    fixed: bool = False

    @property
    def is_told(self) -> bool:
        """Whether a run of the original tells its new value."""
        return not self.fixed and (self.output is not None or self.layer is not None)


@dataclass(frozen=True, slots=True)
class States:
    """All states, the layers left alone that start at zeros, those that start at something made
    from the input, those stepped over T in a loop, those that run a window in every call, and
    those that are called several times in every call and start anew in each.

    `step` runs one time step with the states explicit, where forward's own code hides them.
    """

    variables: tuple[StateVar, ...]
    alone: tuple[str, ...]
    computed: tuple[str, ...]
    looped: tuple[str, ...]
    windows: tuple[Window, ...] = ()
    several: tuple[str, ...] = ()
    step: nn.Module | None = None


def final(state: StateVar, seen: Observation) -> torch.Tensor:
    """The new value of a state in one run of the original."""
    if state.output is not None:
        return seen.outputs[state.output]
    assert state.layer is not None
    if state.layer not in seen.calls.layers:
        raise idle(state.layer)
    return seen.calls.layers[state.layer][-1].final[state.part]


def idle(path: str) -> ExportRefused:
    """The refusal of a layer that does not run in every run."""
    return ExportRefused(
        f"the layer {path!r} runs at some sizes or values and not at others",
        "call it at every run, whatever the batch, the length and the values",
    )
