"""What an export promises, held to: its programs beside the module, each session by itself."""

import torch
from torch import Tensor, nn

from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError
from tests.harness.export_run import run, start
from tests.harness.export_served import attempt

_BOUND = 1e-4  # no program is off by more


def upheld(module: nn.Module, example: tuple[Tensor, ...], *given: Tensor) -> Proven | None:
    """None where the export is refused. Otherwise every program answers to `given` (rows first,
    then steps) what eager answers to each row alone: a stream step by step, the rest at once.
    """
    made = attempt(module.eval(), example)
    if isinstance(made, ExportError):
        return None
    spec = made.manifest.spec
    if spec.has_batch or len(given[0]) == 1:
        with torch.no_grad():
            rows = [_all(module(*(each[row : row + 1] for each in given))) for row in _rows(given)]
        wanted = [torch.cat(each) for each in zip(*rows, strict=True)]
    else:
        with torch.no_grad():
            wanted = _all(module(*given))
    for kind in made.manifest.programs:
        lengths = made.manifest.programs[kind].lengths
        streams = spec.streaming != "none"
        steps, size = given[0].shape[1], 1 if streams else given[0].shape[1]
        states, found = start(made, len(given[0])), dict[str, list[Tensor]]()
        for first in range(0, steps, size):
            part = {
                each.name: values if each.time_axis is None else values[:, first : first + size]
                for each, values in zip(spec.inputs, given, strict=False)
            }
            answer = run(made, kind, part, states, [size] * len(given[0]) if lengths else None)
            states = {**states, **answer.states}
            for name, value in answer.outputs.items():
                found.setdefault(name, []).append(value)
        for each, right in zip(spec.outputs, wanted, strict=True):
            several = found[each.name]
            own = several[-1] if each.time_axis is None else torch.cat(several, 1)
            torch.testing.assert_close(own, right, atol=_BOUND, rtol=_BOUND)
    return made


def _rows(given: tuple[Tensor, ...]) -> range:
    return range(len(given[0]))


def _all(found: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else list(found)
