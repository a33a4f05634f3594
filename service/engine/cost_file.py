"""Remembers what models were measured to cost, so that a start does not measure again."""

import json
import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path

from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind
from carousel.service.engine.cores import count_cores
from carousel.service.engine.cost_curve import CostCurve, CostPoint

log = logging.getLogger("carousel.engine")

_MOST_MODELS = 256
# What no run takes and no run has.
_LEAST_S, _MOST_S, _MOST_ROWS = 1e-9, 1e6, 1 << 20
_LIBRARIES: dict[ProgramKind, str] = {"onnx": "onnxruntime", "torchscript": "torch"}


class CostFile:
    """A JSON file of cost curves. Where it cannot be read or written, nothing is remembered."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"<CostFile {self._path}>"

    def find(self, key: str) -> CostCurve | None:
        """What is known of a model, if it is sound."""
        try:
            points = [CostPoint(int(rows), float(taken)) for rows, taken in self._read()[key]]
        except (LookupError, TypeError, ValueError, OverflowError):
            return None
        rows = [each.rows for each in points]
        ascend = all(low < high for low, high in zip([0, *rows], rows, strict=False))
        sound = all(_LEAST_S <= each.seconds <= _MOST_S for each in points)
        if not points or not ascend or not sound or rows[-1] > _MOST_ROWS:
            return None
        return CostCurve(points)

    def keep(self, key: str, curve: CostCurve) -> None:
        """Remember what was measured."""
        known = self._read()
        known.pop(key, None)
        known[key] = [[each.rows, each.seconds] for each in curve.points]
        latest = dict(list(known.items())[-_MOST_MODELS:])
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(latest, indent=1))
            os.replace(fresh, self._path)
        except OSError as error:
            log.debug("what models cost is not remembered for the next start: %s", error)

    def _read(self) -> dict[str, list[list[float]]]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def cost_key(artifact: Artifact, kind: ProgramKind, threads: int) -> str:
    """A model on a machine: other files, another library and other cores are measured anew."""
    library = _LIBRARIES[kind]
    return (
        f"{artifact.manifest.sha256} {library} {version(library)} threads {threads} "
        f"on {count_cores()} cores of {_processor()}"
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
