"""How far a run has come and what its clients know, in a file written whole or not at all."""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.harness.chaos.truth import Truth, load_truth

_FORMAT = 1
_NAME = "progress.json"


class ProgressError(Exception):
    """The folder cannot be continued; the message says why."""


@dataclass(slots=True)
class Tally:
    """What was done so far.

    kills: of the serving process, under load; early_kills: of one on its way to ready.
    requests: answered or not. steps: time steps acknowledged. unanswered: requests that a kill
    left without an answer. timeouts: steps sent whole whose client gave up. torn: steps that the
    client cut off. retries: steps and other calls sent again for any of these, and states read to
    see what one did. replays: recorded replies that came to retries; repeats: to steps that had
    been answered already. late: answers that came to a client that had given up. controls: resets,
    written states, forks, deletions, opened sessions. unavailable: answers of 503.
    """

    kills: int = 0
    early_kills: int = 0
    requests: int = 0
    steps: int = 0
    unanswered: int = 0
    timeouts: int = 0
    torn: int = 0
    retries: int = 0
    replays: int = 0
    repeats: int = 0
    late: int = 0
    controls: int = 0
    unavailable: int = 0
    violations: int = 0

    def __str__(self) -> str:
        return " ".join(f"{each.name}={getattr(self, each.name)}" for each in fields(self))


@dataclass(slots=True)
class Progress:
    """What the file holds. `runs`: how often it was begun or continued.

    `clean`: the last run ended in order, so that `sessions` (a list a client) is what the store
    must hold. If it did not, nobody knows the sessions that were opened in runs up to `forgotten`.
    """

    store: str
    seed: int
    runs: int = 0
    seconds: float = 0.0
    clean: bool = True
    forgotten: int = 0
    tally: Tally = field(default_factory=Tally)
    sessions: list[list[Truth]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write it."""
        document = {
            "format": _FORMAT,
            **{each: getattr(self, each) for each in _PLAIN},
            "tally": asdict(self.tally),
            "sessions": [[truth.dump() for truth in owned] for owned in self.sessions],
        }
        part = folder / f"{_NAME}.part"
        with part.open("w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / _NAME)


_PLAIN = ("store", "seed", "runs", "seconds", "clean", "forgotten")


def load_progress(folder: Path) -> Progress | None:
    """What a run before left in the folder, if one did; raises ProgressError."""
    try:
        document: dict[str, Any] = json.loads((folder / _NAME).read_text())
    except FileNotFoundError:
        return None
    if document["format"] != _FORMAT:
        raise ProgressError(f"{folder} was written by another version of this harness")
    plain = {each: document[each] for each in _PLAIN}
    owned = [[load_truth(each) for each in saved] for saved in document["sessions"]]
    return Progress(**plain, tally=Tally(**document["tally"]), sessions=owned)
