"""Which modules are changed, and which tests belong to each of them."""

from dataclasses import dataclass

_ENGINE = "tests/service/engine/test_"
_SESSIONS = "tests/service/sessions/test_"
_STORES = "tests/service/sessions/stores/test_"
_SQLITE = "tests/service/sessions/stores/sqlite/test_"
_STREAMS = "tests/service/api/streams/test_"
_COLUMNS = "tests/service/api/v1/columnar/test_"
_EXPORT = "tests/export/test_"


@dataclass(frozen=True, slots=True)
class Subject:
    """A module, and its tests, paths from the root of the repository. The quickest stand first: the
    first that fails is enough.
    """

    path: str
    tests: tuple[str, ...]


def _subject(path: str, folder: str, names: str, *further: str) -> Subject:
    return Subject(path, (*(f"{folder}{name}.py" for name in names.split()), *further))


SUBJECTS = {
    "scheduler": _subject(
        "service/engine/scheduler.py", _ENGINE, "scheduler scheduler_pace blocks"
    ),
    "core": _subject("service/engine/core.py", _ENGINE, "core batch blocks lying"),
    "pace": _subject("service/engine/pace.py", _ENGINE, "cost scheduler_pace lanes"),
    "step_wait": _subject("service/engine/step_wait.py", _ENGINE, "step_wait"),
    "turned_away": _subject("service/engine/turned_away.py", _ENGINE, "turned_away"),
    "block": _subject(
        "service/engine/block.py", _ENGINE, "blocks batch", f"{_SESSIONS}block_run.py"
    ),
    "step_run": _subject(
        "service/sessions/step_run.py", _SESSIONS, "step_run positions recorded_replies sessions"
    ),
    "block_run": _subject(
        "service/sessions/block_run.py", _SESSIONS, "block_run block_bounds", f"{_COLUMNS}rules.py"
    ),
    "column_run": _subject(
        "service/sessions/column_run.py",
        *(_SESSIONS, "block_run block_bounds", f"{_COLUMNS}rules.py", f"{_COLUMNS}bounds.py"),
    ),
    "positions": _subject("service/sessions/positions.py", _SESSIONS, "positions step_run"),
    "recorded_reply": _subject(
        "service/sessions/recorded_reply.py",
        *(_SESSIONS, "recorded_reply_digest positions recorded_replies", f"{_STORES}memory.py"),
    ),
    "committer": _subject(
        "service/sessions/committer.py", _SESSIONS, "commits session_writer step_run"
    ),
    "resident_sessions": _subject(
        "service/sessions/resident_sessions.py", _SESSIONS, "resident_sessions sessions"
    ),
    "session_cache": _subject(
        "service/sessions/session_cache.py", _SESSIONS, "sessions life commits shared_models"
    ),
    "session_writer": _subject(
        "service/sessions/session_writer.py",
        *(_SESSIONS, "session_writer life", "tests/service/api/v2/test_sequences.py"),
    ),
    "memory": _subject("service/sessions/stores/memory.py", _STORES, "memory ended store"),
    "rows": _subject("service/sessions/stores/sqlite/rows.py", _SQLITE, "rows store names mark"),
    "stream": _subject("service/api/streams/stream.py", _STREAMS, "edges bounds ends"),
    "decisions": _subject("export/module/decisions.py", _EXPORT, "deciding ways untouched"),
    "judge": _subject("export/module/judge.py", _EXPORT, "deciding ways untouched"),
}
