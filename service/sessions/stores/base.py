"""What a session store is: the truth about every session, written by compare-and-set alone."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.session_record import Key, SessionMeta, SessionRecord


class Outcome(Enum):
    """What became of one write: it counts, somebody else wrote first, the session is gone, or the
    store cannot read where it would be.
    """

    WRITTEN = auto()
    LOST = auto()
    GONE = auto()
    DAMAGED = auto()


@dataclass(slots=True)
class Write:
    """`record` is written if the session still has the revision `base`; None: if there is none."""

    base: bytes | None
    record: SessionRecord


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of an expired session for a while, to tell it from one that was never there."""

    expired_at: float


@dataclass(frozen=True, slots=True)
class Damaged:
    """A session whose bytes are not what was written; it can be deleted by its revision."""

    revision: bytes


Found = SessionRecord | Tombstone | Damaged | None


@dataclass(slots=True)
class StoreStats:
    """What a store's writing has come to: commits (each of one or many rows) and their seconds."""

    commits: int = 0
    rows: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    failures: int = 0

    def committed(self, rows: int, seconds: float) -> None:
        self.commits += 1
        self.rows += rows
        self.seconds += seconds
        self.slowest_s = max(self.slowest_s, seconds)


# Called once, from any thread, with an outcome per write, or with the error after which none is
# known.
Done = Callable[[Sequence[Outcome] | StoreUnavailable], None]


class Store(Protocol):
    """Sessions by key. Every write is a compare-and-set on the revision and gets its own outcome.

    The coroutines are the event loop's; `commit` is called from engine threads and must not raise.
    A store that fails raises StoreUnavailable: after it, what was asked for may or may not be done.
    """

    name: str
    # What the stamps of its sessions are made by: where several servers share it, its own.
    clock: Clock
    # Whether other processes write here too: then a cached session is no ground for a refusal.
    shared: bool
    stats: StoreStats

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write the rows of one batch, each with its own outcome, then call `done`.

        Engines do not wait for one another, nor for the commit before: a store that takes its time
        has one transaction under way and puts all that comes in meanwhile into the next.
        """

    async def write(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        """The same for a call that waits; `atomic`: all are written or none is.

        Raises SessionLimit if a new session does not fit.
        """

    def load(self, key: Key) -> Awaitable[Found]:
        """The session, also one that has expired and was not swept yet.

        A future where that can be, so that nobody needs a task to wait for it.
        """

    async def delete(self, key: Key, base: bytes) -> Outcome:
        """Delete the session if it still has the revision `base`, and leave no tombstone."""

    async def page(
        self, tenant: str, model: str | None, after: str | None, limit: int, now: float
    ) -> list[tuple[SessionMeta, int]]:
        """The live sessions of a tenant whose ids follow `after`, in order of id, with state
        bytes.
        """

    async def expire(self, expired_before: float, buried_before: float) -> list[Key]:
        """Turn sessions that expired before a time into tombstones, and drop tombstones older than
        the other; returns the sessions' keys.

        What is left of an ended session goes without a tombstone, and soon after its own time.
        """

    async def straighten(self, now: float, latest: float) -> None:
        """Stamp sessions anew that would end after `latest`, which no session may, since a clock
        that was ahead has stamped them: as used now. Tombstones that are ahead likewise.
        """

    async def ping(self) -> None:
        """Raise StoreUnavailable while the store cannot do its work. The clock is looked at."""

    async def close(self) -> None:
        """Finish what was begun and let go of everything."""
