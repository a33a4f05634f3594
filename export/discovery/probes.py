"""Runs of a module at several sizes, and the axes that explain what came out."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from carousel.export.discovery.hypotheses import Hypothesis
from carousel.export.measured.axes import Fitted, ShapeAt, fit_axes
from carousel.export.measured.subject import size
from carousel.export.module.original import Observation
from carousel.models.spec import BATCH


@dataclass(frozen=True, slots=True)
class Probe:
    """One run of the original at `batch` rows and `time` steps."""

    batch: int
    time: int
    values: Mapping[str, torch.Tensor]
    seen: Observation


@dataclass(slots=True)
class Rejected(Exception):
    """A hypothesis that does not hold. `kind`: `run`, `layers`, `rows` or `time`."""

    kind: str
    reason: str


def fit_probes(
    sizes: list[tuple[int, ...]], probes: tuple[Probe, ...], shape_at: ShapeAt | None = None
) -> Fitted | None:
    """The axes that explain `sizes` at the probes; None if none do."""
    batches, times = [each.batch for each in probes], [each.time for each in probes]
    return fit_axes(sizes, batches, times, shape_at)


def check_layers(probes: tuple[Probe, ...], hypothesis: Hypothesis) -> None:
    """One recurrent layer at least must see the rows as rows and the steps as steps."""
    for path, calls in probes[0].seen.calls.layers.items():
        each = [probe.seen.calls.layers.get(path) or calls for probe in probes]
        shape = fit_probes([tuple(call[0].final[0].shape) for call in each], probes)
        steps = [tuple(one.steps for one in call) for call in each]
        has_rows = shape is not None and (not hypothesis.batch or BATCH in shape.axes)
        if has_rows and (not hypothesis.time or len(set(steps)) > 1):
            return
    raise Rejected("layers", "no recurrent layer sees these axes as rows and time steps")


def listed(probes: tuple[Probe, ...]) -> str:
    return ", ".join(size(probe.batch, probe.time) for probe in probes)
