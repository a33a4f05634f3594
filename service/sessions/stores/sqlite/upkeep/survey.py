"""What is in a session file, and what of it is damaged."""

from dataclasses import dataclass

import apsw

from carousel.service.sessions.session_record import Key
from carousel.service.sessions.stores.sqlite.salvage import Lost
from carousel.service.sessions.stores.sqlite.upkeep.stopped import StoppedFile

_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found; `problems` are SQLite's words for what is wrong with the file itself.
    `log_problem`: what is known to be lost of its log.
    """

    num_sessions: int
    state_bytes: int
    num_tombstones: int
    damaged: list[Key | None]
    problems: list[str]
    log_problem: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged and not self.problems and self.log_problem is None

    @property
    def summary(self) -> str:
        """What is damaged, in a line."""
        found = self.problems[:1]
        if self.damaged:
            found.append(f"damaged sessions: {some_of(self.damaged_names, 5)}")
        if self.log_problem is not None:
            found.append(f"its log is {self.log_problem}")
        return "; ".join(found) or "nothing"

    @property
    def damaged_names(self) -> list[str]:
        """The ids of the damaged sessions, as far as they are known."""
        return [
            "(a session whose id is lost)" if each is None else each[1] for each in self.damaged
        ]


def some_of(texts: list[str], most: int) -> str:
    """The first of many."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def survey(file: StoppedFile) -> Survey:
    """Read everything there is."""
    problems = find_problems(file)
    num_sessions = state_bytes = 0
    damaged: list[Key | None] = []
    for each in file.rows.sessions(sound=not problems):
        if isinstance(each, Lost):
            damaged.append(each.key)
        else:
            num_sessions += 1
            state_bytes += len(each.state)
    num_tombstones = sum(1 for _ in file.rows.tombstones())
    return Survey(num_sessions, state_bytes, num_tombstones, damaged, problems, file.log_problem)


def find_problems(file: StoppedFile) -> list[str]:
    """What SQLite itself finds wrong with the structure of the file."""
    try:
        found = file.rows.connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})").fetchall()
    except apsw.CorruptError as error:
        return [str(error)]
    lines = [line for (text,) in found for line in str(text).splitlines()]
    return [] if lines == ["ok"] else lines
