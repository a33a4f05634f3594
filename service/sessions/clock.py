"""What time it is for sessions: the one clock that their stamps, ends and sweeps go by.

A wall clock is set by others, and may be wrong for a while; a steady one counts seconds since who
knows when. So the time is that of a wall clock as it was met, and goes on by the steady clock. The
wall clock is read again and again (`observe`), on a shared store the store's own (redis/time.py),
and what it says is judged as follows. Pure, but for `__call__` and `look`.

    the wall clock is off by      and then
    ----------------------------  ------------------------------------------------------------------
    no more than SLACK_S          it is followed at once: slewing, a leap second, a drift between
                                  two machines
    more                          a jump. The time goes on as if there had been none, and
      and back within GRACE_S     nothing has happened
      and stays for GRACE_S       it is adopted; behind a jump to somewhere else it begins anew

What an adopted jump finds has been stamped by another clock:

    the jump                      and then
    ----------------------------  ------------------------------------------------------------------
    forward                       no stamp is older than the jump (`floor`): every session there is
                                  has its time to live again
    back                          stamps may lie ahead. A step makes a new one, and the sweep finds
                                  those that would keep a session for longer than any lives

A clock that has just been met is as likely wrong as one that has jumped: until it was the same for
GRACE_S, or was put right and adopted, it `is_settled` not, and nothing may be swept by it.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from carousel.service.sessions.session_record import SessionMeta

log = logging.getLogger("carousel.store")

# A daemon that keeps a clock steps it by more than this, if it steps it at all.
SLACK_S = 2.0
# As long as ntpd waits before it believes a time that is far from its own: whoever sets a machine's
# clock wrong, or starts it with a wrong one, puts it right within that, as a rule.
GRACE_S = 300.0
# A reading that took longer than this tells little.
_MAX_DOUBT_S = SLACK_S / 2


def _choose_steady() -> int:
    """The clock that counts while the machine sleeps as well, where there is one: what it slept
    through is no jump then. (On macOS the usual one does so.)
    """
    found: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        time.clock_gettime(found)
    except OSError:
        return time.CLOCK_MONOTONIC
    return found


_STEADY = _choose_steady()


def steady_s() -> float:
    """Seconds that nobody sets."""
    return time.clock_gettime(_STEADY)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a wall clock said, between two moments of the steady one."""

    wall: float
    began: float
    ended: float

    @property
    def offset(self) -> float:
        """From the steady clock to the wall clock."""
        return self.wall - (self.began + self.ended) / 2

    @property
    def doubt_s(self) -> float:
        """How far off that may be."""
        return (self.ended - self.began) / 2


def read_machine() -> Reading:
    """This machine's wall clock."""
    began = steady_s()
    return Reading(time.time(), began, steady_s())


@dataclass(slots=True)
class _Jump:
    """Where the wall clock is instead, and since when."""

    offset: float
    since: float


class Clock:
    """Seconds since the epoch, from any thread; `observe` and `look` are one thread's at a time.

    `first` is the reading it begins with, `read` and `steady` what it looks at.
    """

    def __init__(
        self,
        first: Reading | None = None,
        *,
        read: Callable[[], Reading] = read_machine,
        steady: Callable[[], float] = steady_s,
        grace_s: float = GRACE_S,
    ) -> None:
        met = first if first is not None else read()
        self._read = read
        self._steady = steady
        self._grace_s = grace_s
        self._offset = met.offset
        self._same_since = met.ended
        self._jump: _Jump | None = None
        # No stamp counts as older than this.
        self.floor = -math.inf
        self.is_settled = False
        # How often it was set back: there may be stamps that lie ahead.
        self.num_set_back = 0

    def __repr__(self) -> str:
        jump = "" if self._jump is None else f" jump={self._jump.offset - self._offset:+.0f}"
        return f"<Clock {self():.3f}{'' if self.is_settled else ' new'}{jump}>"

    def __call__(self) -> float:
        """The time."""
        return self._steady() + self._offset

    def end_of(self, meta: SessionMeta) -> float:
        """When a session ends unless it is used again, or what is left of an ended one does."""
        return max(meta.used_at, self.floor) + meta.lives_s

    def has_ended(self, meta: SessionMeta) -> bool:
        """Whether that has come."""
        now = self._steady() + self._offset
        return meta.expires_at <= now and self.end_of(meta) <= now

    def look(self) -> None:
        """Look at the wall clock."""
        self.observe(self._read())

    def observe(self, reading: Reading) -> None:
        """Judge what a wall clock said; expected every few seconds."""
        if reading.doubt_s > _MAX_DOUBT_S:
            return
        off_s = reading.offset - self._offset
        if abs(off_s) > SLACK_S:
            self._wait(reading, off_s)
            return
        if self._jump is not None:
            self._jump = None
            self._same_since = reading.ended
            log.info("the clock that sessions go by is back where it was: nothing has happened")
        if abs(off_s) > reading.doubt_s:
            self._offset = reading.offset
        if not self.is_settled and reading.ended - self._same_since >= self._grace_s:
            self.is_settled = True

    def _wait(self, reading: Reading, off_s: float) -> None:
        """The wall clock is elsewhere: it has to stay there."""
        jump = self._jump
        if jump is None or abs(reading.offset - jump.offset) > SLACK_S:
            self._jump = _Jump(reading.offset, reading.ended)
            log.warning(
                "the clock that sessions go by is off by %+.0f s all at once; they go on as if it "
                "were not, unless it stays so for %.0f s",
                off_s,
                self._grace_s,
            )
            return
        # It may be slewed meanwhile.
        jump.offset = reading.offset
        if reading.ended - jump.since >= self._grace_s:
            self._adopt(reading, off_s)

    def _adopt(self, reading: Reading, off_s: float) -> None:
        self._jump = None
        self.is_settled = True
        now = reading.ended + reading.offset
        if off_s > 0:
            # First this: between the two, other threads find no session ended.
            self.floor = now
            self._offset = reading.offset
        else:
            self._offset = reading.offset
            self.floor = min(self.floor, now)
            self.num_set_back += 1
        log.warning(
            "the clock that sessions go by has been off by %+.0f s for %.0f s: they go by it now%s",
            off_s,
            self._grace_s,
            ", and each has its time to live again" if off_s > 0 else "",
        )
