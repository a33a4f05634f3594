"""How far a soak has come, in a file written whole or not at all."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.soak.memory import Sample

_FORMAT = 1
_NAME = "progress.json"


class ProgressError(Exception):
    """The folder cannot be continued; the message says why."""


@dataclass(slots=True)
class Progress:
    """What the file holds: a run's samples a part, which each have a service of their own; what
    was done and answered; what was wrong.
    """

    store: str
    seed: int
    seconds: float = 0.0
    parts: list[list[Sample]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write it."""
        document = {"format": _FORMAT, **asdict(self), "counts": dict(self.counts)}
        part = folder / f"{_NAME}.part"
        part.write_text(json.dumps(document))
        part.replace(folder / _NAME)


def load_progress(folder: Path) -> Progress | None:
    """What a run before left in the folder, if one did; raises ProgressError."""
    try:
        document: dict[str, Any] = json.loads((folder / _NAME).read_text())
    except FileNotFoundError:
        return None
    if document.pop("format") != _FORMAT:
        raise ProgressError(f"{folder} was written by another version of this harness")
    parts = [[Sample(**each) for each in part] for part in document.pop("parts")]
    return Progress(**{**document, "counts": Counter(document["counts"]), "parts": parts})
