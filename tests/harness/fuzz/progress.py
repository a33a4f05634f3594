"""How far a run has come, in a file written whole or not at all."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.fuzz.outcome import Outcome, load_outcome

_FORMAT = 1
_NAME = "progress.json"


class ProgressError(Exception):
    """The folder cannot be continued; the message says why."""


@dataclass(slots=True)
class Progress:
    """What the file holds: the seed, how many inputs were asked for, what came of each piece."""

    seed: int
    goal: int
    done: dict[str, Outcome] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """Of all pieces."""
        return sum(each.inputs for each in self.done.values())

    def save(self, folder: Path) -> None:
        """Write it."""
        done = {name: each.dump() for name, each in self.done.items()}
        document = {"format": _FORMAT, "seed": self.seed, "goal": self.goal, "done": done}
        part = folder / f"{_NAME}.part"
        with part.open("w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / _NAME)


def load_progress(folder: Path) -> Progress | None:
    """What a run before left in the folder, if one did; raises ProgressError."""
    try:
        document: dict[str, Any] = json.loads((folder / _NAME).read_text())
    except FileNotFoundError:
        return None
    if document["format"] != _FORMAT:
        raise ProgressError(f"{folder} was written by another version of this harness")
    done = {name: load_outcome(each) for name, each in document["done"].items()}
    return Progress(document["seed"], document["goal"], done)
