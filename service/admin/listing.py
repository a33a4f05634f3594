"""Sessions on the terminal: a table or a page for people, JSON for machines."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from carousel.service.admin.table import Column, Table, shown_time
from carousel.service.sessions.stores.sqlite.upkeep.size import shown_bytes
from carousel_client.session_info import SessionInfo, SessionPage

_COLUMNS = (
    Column("SESSION"),
    Column("MODEL"),
    Column("POSITION", right=True),
    Column("STATE", right=True),
    Column("LAST USED"),
    Column("EXPIRES"),
)


def list_lines(pages: Iterable[SessionPage]) -> Iterator[str]:
    """A table, and where it goes on if it was cut."""
    table = Table(_COLUMNS)
    count, follows = 0, None
    for page in pages:
        count, follows = count + len(page.sessions), page.next
        if page.sessions:
            yield from table.lines(map(_row, page.sessions))
    if not count:
        yield "no sessions\n"
    if follows is not None:
        yield f"more follow: --after {follows} goes on, --all lists them all\n"


def list_json(pages: Iterable[SessionPage]) -> Iterator[str]:
    """One document as the service's own pages are, written while it comes, a line a session."""
    before, follows = '{"sessions": [\n', None
    for page in pages:
        for session in page.sessions:
            yield before + session_json(session)
            before = ",\n"
        follows = page.next
    closed = '{"sessions": [' if before[0] == "{" else "\n"
    yield f'{closed}], "next": {json.dumps(follows)}}}\n'


def session_lines(session: SessionInfo) -> Iterator[str]:
    """Everything about one session, a line each."""
    yield from Table((Column("session"), Column(session.session_id))).lines(
        (
            ("model", f"{session.model}, version {session.version}"),
            ("position", str(session.position)),
            ("state", shown_bytes(session.state_bytes)),
            ("created", shown_time(session.created_at)),
            ("last used", shown_time(session.last_used_at)),
            ("expires", shown_time(session.expires_at)),
        )
    )


def session_json(session: SessionInfo) -> str:
    """A session as the service says it, on one line."""
    said = {name: each for name, each in asdict(session).items() if each is not None}
    return json.dumps(said, default=_time_json)


def _time_json(time: datetime) -> str:
    """RFC 3339, in the service's own form."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(session: SessionInfo) -> tuple[str, ...]:
    return (
        session.session_id,
        f"{session.model}/{session.version}",
        str(session.position),
        shown_bytes(session.state_bytes),
        shown_time(session.last_used_at),
        shown_time(session.expires_at),
    )
