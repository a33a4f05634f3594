"""One session in memory: its metadata, its slot, and the queue of those who wait for their turn."""

import asyncio
import time
from collections import deque

from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.request import NO_SLOT
from carousel.service.errors import DeadlineExceeded
from carousel.service.sessions.session_record import SessionMeta


class Session:
    """A session that is in memory, owned by the event loop; one request at a time has its turn.

    Its state is in `slot` of the model's pool or, where there is none yet, in `row`. `dropped`: no
    longer the session of its key; whoever holds it looks the key up again.
    """

    __slots__ = ("busy", "dropped", "loaded", "meta", "row", "slot", "waiters")

    def __init__(self, meta: SessionMeta, loaded: LoadedModel, row: bytes) -> None:
        self.meta = meta
        self.loaded = loaded
        self.slot = NO_SLOT
        self.row: bytes | None = row
        self.busy = False
        self.dropped = False
        # Made when somebody waits: an empty deque takes 600 bytes, and most sessions never need it.
        self.waiters: deque[asyncio.Future[None]] | None = None

    def __repr__(self) -> str:
        state = "busy" if self.busy else "idle"
        return f"<Session {self.id} {state} position={self.position} slot={self.slot}>"

    @property
    def id(self) -> str:
        return self.meta.id

    @property
    def position(self) -> int:
        """Time steps consumed."""
        return self.meta.position

    def queue(self, deadline: float) -> "asyncio.Future[None]":
        """The turn, once those who came before are done; DeadlineExceeded (monotonic clock) where
        that takes too long. Cancelled, it is passed over.
        """
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        if self.waiters is None:
            self.waiters = deque()
        self.waiters.append(waiter)
        timer = loop.call_later(max(0.0, deadline - time.monotonic()), _expire, waiter)
        waiter.add_done_callback(lambda _: timer.cancel())
        return waiter

    def pass_turn(self) -> None:
        """Give the turn to the next who still waits; without one the session is idle."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.waiters = None
        self.busy = False


def _expire(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(
            DeadlineExceeded("the deadline passed while an earlier request of the session ran")
        )
