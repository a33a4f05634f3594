"""The sessions of columns, before and after their steps: opened where there are none, looked up for
where they stand.
"""

import asyncio
from collections.abc import Sequence

from carousel.service.errors import (
    CarouselError,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    forget_frames,
)
from carousel.service.sessions.columns import NO_POSITION, ColumnReplies, Columns
from carousel.service.sessions.deadline import within
from carousel.service.sessions.sessions import Sessions

# Sessions that are looked up together.
_AT_ONCE = 256


async def open_missing(
    sessions: Sessions, tenant: str, columns: Columns, replies: ColumnReplies
) -> None:
    """Start the sessions that are not there, of rows that name no other position than 0. What keeps
    one from being opened is its row's error.
    """

    async def open_row(row: int) -> None:
        try:
            opening = _find_or_open(sessions, tenant, columns, columns.session_ids[row])
            replies.opened[row] = await within(columns.deadline, opening, "its session")
        except Exception as error:
            replies.refuse(row, error)

    rows = [
        row
        for row, session_id in enumerate(columns.session_ids)
        if row not in replies.errors
        and columns.position_of(row) in (None, 0)
        and sessions.peek(tenant, session_id) is None
    ]
    for part in _parts(rows):
        await asyncio.gather(*map(open_row, part))


async def _find_or_open(sessions: Sessions, tenant: str, columns: Columns, session_id: str) -> bool:
    """Whether it was opened; another request may have been quicker, and then both step it."""
    try:
        await sessions.find(tenant, session_id)
    except (SessionNotFound, SessionExpired) as error:
        forget_frames(error)
    else:
        return False
    model = columns.model
    try:
        await sessions.open(
            tenant,
            model=model.name,
            version=model.version,
            session_id=session_id,
            ttl_s=columns.ttl_s,
        )
    except SessionExists as error:
        forget_frames(error)
        return False
    return True


async def find_positions(
    sessions: Sessions, tenant: str, columns: Columns, replies: ColumnReplies
) -> None:
    """Where the sessions of rows at fault stand. Those of rows that were refused before anybody
    looked for them may have to be looked up.
    """

    async def find_row(row: int) -> None:
        finding = sessions.find(tenant, columns.session_ids[row])
        try:
            found = await within(columns.deadline, finding, "its session")
        except CarouselError as error:
            forget_frames(error)
        else:
            replies.positions[row] = found.position

    unknown = [row for row in replies.errors if replies.positions[row] == NO_POSITION]
    for row in unknown:
        session = sessions.peek(tenant, columns.session_ids[row])
        if session is not None:
            replies.positions[row] = session.position
    cold = [row for row in unknown if row in columns.faults and replies.positions[row] < 0]
    for part in _parts(cold):
        await asyncio.gather(*map(find_row, part))


def _parts(rows: Sequence[int]) -> list[Sequence[int]]:
    return [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
