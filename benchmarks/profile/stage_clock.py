"""Where a thread's time goes, by stages that are within one another: none counts twice."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# What a thread does outside of all stages.
REST = "rest"
_CALIBRATION_CALLS = 20_000


@dataclass(slots=True)
class Spent:
    """Of one stage: `ns` by itself, `entries` into it, `inner` entries into others from it."""

    ns: int = 0
    entries: int = 0
    inner: int = 0


@dataclass(slots=True)
class _Thread:
    """One thread's: the stages that it is in, the innermost last, and when that was seen last."""

    last: int
    stack: list[str] = field(default_factory=lambda: [REST])
    spent: dict[str, Spent] = field(default_factory=lambda: {REST: Spent()})


class StageClock:
    """Each thread writes its own figures; `totals` may be asked for on any."""

    def __init__(self, now: Callable[[], int]) -> None:
        """`now`: nanoseconds, for each thread a clock of its own or one for all."""
        self._now = now
        self._local = threading.local()
        self._threads: list[_Thread] = []

    def __repr__(self) -> str:
        return f"<StageClock of {len(self._threads)} threads>"

    def enter(self, stage: str) -> None:
        """Until `leave`, the thread's time is this stage's."""
        try:
            thread: _Thread = self._local.thread
        except AttributeError:
            thread = self._local.thread = _Thread(self._now())
            self._threads.append(thread)
        if stage == thread.stack[-1]:
            # The same stage within itself: nothing changes hands, and no clock need be read.
            thread.stack.append(stage)
            return
        now = self._now()
        outer = thread.spent[thread.stack[-1]]
        outer.ns += now - thread.last
        outer.inner += 1
        thread.stack.append(stage)
        if stage not in thread.spent:
            thread.spent[stage] = Spent()
        thread.spent[stage].entries += 1
        thread.last = now

    def leave(self) -> None:
        """The thread's time is again that of the stage around this one."""
        thread: _Thread = self._local.thread
        stage = thread.stack.pop()
        if stage == thread.stack[-1]:
            return
        now = self._now()
        thread.spent[stage].ns += now - thread.last
        thread.last = now

    def totals(self) -> dict[str, Spent]:
        """All threads together, up to when each last came into a stage or out of one."""
        totals: dict[str, Spent] = {}
        for thread in list(self._threads):
            for stage, spent in list(thread.spent.items()):
                total = totals.setdefault(stage, Spent())
                total.ns += spent.ns
                total.entries += spent.entries
                total.inner += spent.inner
        return totals


@dataclass(frozen=True, slots=True)
class TimerCost:
    """What one entry adds: to the stage itself, and to the one that it is entered from."""

    own_ns: float
    outer_ns: float

    def off(self, spent: Spent) -> float:
        """What a stage took without its timers, in ns."""
        return spent.ns - spent.entries * self.own_ns - spent.inner * self.outer_ns


def measure_cost(
    now: Callable[[], int], wrap: Callable[[StageClock, Callable[[], None]], Callable[[], None]]
) -> TimerCost:
    """Of an empty function, wrapped and called many times."""
    clock = StageClock(now)
    bare, wrapped = _nothing, wrap(clock, _nothing)
    wrapped()
    before, began = clock.totals(), time.thread_time_ns()
    for _ in range(_CALIBRATION_CALLS):
        bare()
    loop_ns = time.thread_time_ns() - began
    clock.enter("loop")
    for _ in range(_CALIBRATION_CALLS):
        wrapped()
    clock.leave()
    after = clock.totals()
    own = sum(each.ns for name, each in after.items() if name not in (REST, "loop"))
    own -= sum(each.ns for name, each in before.items() if name != REST)
    return TimerCost(own / _CALIBRATION_CALLS, (after["loop"].ns - loop_ns) / _CALIBRATION_CALLS)


def _nothing() -> None:
    """What is left of a call without a body."""
