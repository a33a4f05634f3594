"""How far a run has come, in a file written whole or not at all."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.mutants.subjects import Subject
from tests.harness.mutants.tree import Outcome

_FORMAT = 1
_NAME = "progress.json"


class ProgressError(Exception):
    """The folder cannot be continued; the message says why."""


@dataclass(slots=True)
class Tried:
    """What is known of a module: `digest` of it and its tests, seconds that these take unharmed,
    what became of its mutants by their keys.
    """

    digest: str
    usual_s: float = 0.0
    outcomes: dict[str, Outcome] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """By the names of the modules."""

    tried: dict[str, Tried] = field(default_factory=dict)

    def of(self, name: str, digest: str) -> Tried:
        """What is known; nothing once the module or one of its tests is another."""
        tried = self.tried.get(name)
        if tried is None or tried.digest != digest:
            tried = self.tried[name] = Tried(digest)
        return tried

    def save(self, folder: Path) -> None:
        """Write it."""
        part = folder / f"{_NAME}.part"
        part.write_text(json.dumps({"format": _FORMAT, **asdict(self)}, indent=1))
        part.replace(folder / _NAME)


def load_progress(folder: Path) -> Progress:
    """What a run before left in the folder, if one did; raises ProgressError."""
    try:
        document: dict[str, Any] = json.loads((folder / _NAME).read_text())
    except FileNotFoundError:
        return Progress()
    if document["format"] != _FORMAT:
        raise ProgressError(f"{folder} was written by another version of this harness")
    tried = {}
    for name, each in document["tried"].items():
        outcomes = {key: Outcome(value) for key, value in each["outcomes"].items()}
        tried[name] = Tried(each["digest"], each["usual_s"], outcomes)
    return Progress(tried)


def digest_of(root: Path, subject: Subject) -> str:
    """Of a module and its tests."""
    digest = hashlib.sha256()
    for path in (subject.path, *subject.tests):
        digest.update((root / path).read_bytes())
    return digest.hexdigest()
