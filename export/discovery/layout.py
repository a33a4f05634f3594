"""Which axes of a module's tensors are rows and which time steps."""

from collections.abc import Mapping
from dataclasses import dataclass

from carousel.export.discovery.probes import Probe
from carousel.export.measured.axes import Fitted
from carousel.export.measured.sampling import Axes, Sampler


@dataclass(frozen=True, slots=True)
class Layout:
    """The axes of everything that goes in and comes out, and the runs that showed them.

    `batch` and `time` are the example's sizes, 0 where no axis varies so. `fold` is how many rows
    of each state among the arguments belong to one session.
    """

    sampler: Sampler
    outputs: Mapping[str, Fitted]
    states: Mapping[str, Axes]
    folds: Mapping[str, int]
    batch: int
    time: int
    probes: tuple[Probe, ...]
    notes: tuple[str, ...] = ()
