"""Traffic: which lane sends when. In a closed loop each as soon as it can; in an open one when a
request is due and a lane is free, whichever of the two comes last.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence

from carousel_bench.load.arrivals import Arrivals
from carousel_bench.load.lane import Lane
from carousel_bench.load.recorder import LATE_S, Recorder

_PAUSE_S = 0.1


class ClosedTraffic:
    """Every lane sends when it is free."""

    def __init__(self) -> None:
        self._ended = False

    def __repr__(self) -> str:
        return f"<ClosedTraffic{' ended' if self._ended else ''}>"

    def start(self, lanes: Sequence[Lane], begin: float) -> None:
        """All of them are free."""
        for each in lanes:
            self.freed(each)

    def freed(self, lane: Lane) -> None:
        """It sends again."""
        if not self._ended and lane.is_up and not lane.is_busy:
            lane.send(time.monotonic())

    def refused(self, lane: Lane) -> None:
        """It sends again a little later: at once, it would send nothing but what is refused."""
        asyncio.get_running_loop().call_later(_PAUSE_S, self.freed, lane)

    def end(self, until: float) -> bool:
        """Nothing more is sent. Returns whether nothing is left to send."""
        self._ended = True
        return True

    def leave(self) -> None:
        """Nothing is left."""

    def stop(self) -> None:
        """Its lanes are gone."""
        self._ended = True


class OpenTraffic:
    """Requests are due at `arrivals` after the begin, whatever the lanes do. What finds no free
    lane waits, and is sent by the first that is free, the longest waiting first.
    """

    def __init__(self, arrivals: Arrivals, recorder: Recorder) -> None:
        self._arrivals = arrivals
        self._begin = 0.0
        self._recorder = recorder
        self._free: deque[Lane] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._until = math.inf

    def __repr__(self) -> str:
        return f"<OpenTraffic {self._arrivals!r} free={len(self._free)}>"

    def start(self, lanes: Sequence[Lane], begin: float) -> None:
        """All of them are free."""
        self._begin = begin
        self._free.extend(lanes)
        self._set_timer()

    def freed(self, lane: Lane) -> None:
        """It sends what waits, or waits itself."""
        if lane.is_busy or not lane.is_up:
            return
        now = time.monotonic()
        due = self._begin + self._arrivals.next
        if due > now or self._arrivals.next >= self._until:
            self._free.append(lane)
            self._set_timer()
            return
        self._send(lane, due, now, queued=not self._free)

    def refused(self, lane: Lane) -> None:
        """What is due next does not care."""
        self.freed(lane)

    def end(self, until: float) -> bool:
        """Nothing is due from `until` on; what was due before is still sent. Returns whether
        nothing is left to send.
        """
        self._until = until - self._begin
        return self._arrivals.next >= self._until

    def leave(self) -> None:
        """What is left is never sent, and is counted so."""
        now = time.monotonic()
        for times in self._arrivals.rest(self._until):
            self._recorder.unsent(self._begin + times, now)

    def stop(self) -> None:
        """Its lanes are gone."""
        self._until = 0.0
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._timer is None and self._free and self._arrivals.next < self._until:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._begin + self._arrivals.next, self._tell)

    def _tell(self) -> None:
        """Send what is due."""
        self._timer = None
        now = time.monotonic()
        latest = min(now - self._begin, self._until)
        while self._free and self._arrivals.next < latest:
            due = self._begin + self._arrivals.next
            lane = self._free.popleft()
            if not lane.is_up or lane.is_busy:
                continue  # it comes back once it has a connection
            self._send(lane, due, now, queued=False)
        self._set_timer()

    def _send(self, lane: Lane, due: float, now: float, *, queued: bool) -> None:
        if queued:
            self._recorder.queued(due, now)
        elif now - due > LATE_S:
            self._recorder.late(due, now)
        self._arrivals.take()
        lane.send(due)
