"""What is in a session file, and what of it is damaged."""

from dataclasses import dataclass

import apsw

from carousel.service.admin.sessionfile import SessionFile
from carousel.service.sessions.session_record import Key
from carousel.service.sessions.stores.sqlite.salvage import Lost

_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found; `problems` are SQLite's words for what is wrong with the file itself."""

    num_sessions: int
    state_bytes: int
    num_tombstones: int
    damaged: list[Key | None]
    problems: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged and not self.problems


def survey(file: SessionFile) -> Survey:
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
    return Survey(num_sessions, state_bytes, num_tombstones, damaged, problems)


def find_problems(file: SessionFile) -> list[str]:
    """What SQLite itself finds wrong with the structure of the file."""
    try:
        found = file.rows.connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})").fetchall()
    except apsw.CorruptError as error:
        return [str(error)]
    lines = [line for (text,) in found for line in str(text).splitlines()]
    return [] if lines == ["ok"] else lines
