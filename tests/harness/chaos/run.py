"""One run: clients under way, the service killed beneath them, and the truth checked at the end."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.chaos.client import Client
from tests.harness.chaos.line import Line
from tests.harness.chaos.progress import Progress
from tests.harness.chaos.rider import Rider
from tests.harness.chaos.truth import Truth, Violation
from tests.harness.chaos.victim import Victim

_REPORT_S = 5.0
_JITTER_S = 0.005
_EARLY_SHARE = 0.1
_USUAL_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached before a run ends. `max_rows`: most time steps in a request."""

    kills: int = 0
    steps: int = 0
    timeouts: int = 0
    num_clients: int = 32
    max_rows: int = 1000


class Run:
    """Brings `progress` to its goal, or as far as it gets before `stop`."""

    def __init__(self, goal: Goal, progress: Progress, folder: Path, victim: Victim) -> None:
        self.stopping = False
        self._goal = goal
        self._progress = progress
        self._tally = progress.tally
        self._folder = folder
        self._victim = victim
        progress.runs += 1
        self._rng = random.Random(f"{progress.seed} {progress.runs}")
        self._num_ids = 0
        self._clients = [self._client(owned) for owned in self._known_sessions()]
        self._began = time.monotonic() - progress.seconds
        self._mark = 0
        self._marked = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Run {self._goal} {self._tally}>"

    def stop(self) -> None:
        """Let each client finish what it is at, and end."""
        self.stopping = True
        self._marked.set()

    @property
    def is_done(self) -> bool:
        """Whether the goal is reached."""
        tally, goal = self._tally, self._goal
        return (
            tally.kills >= goal.kills
            and tally.steps >= goal.steps
            and tally.timeouts >= goal.timeouts
        )

    async def go(self, say: Callable[[str], None]) -> None:
        """Raises Violation. Otherwise progress and truth are in the folder when it returns."""
        reporter = asyncio.create_task(self._report(say))
        try:
            await self._victim.start()
            await self._check_all()
            self._save(clean=False)
            await self._attack()
            if not self.stopping:
                await self._check_end()
            self._save(clean=True)
        except Violation:
            self._tally.violations += 1
            self._save(clean=False)
            raise
        finally:
            reporter.cancel()
            with suppress(asyncio.CancelledError):
                await reporter
            for client in self._clients:
                client.rider.line.close()
            self._victim.stop()

    async def _attack(self) -> None:
        rides = [self._ride(client) for client in self._clients]
        await _together(*rides, self._kill())

    async def _ride(self, client: Client) -> None:
        while not (self.stopping or self.is_done):
            await client.act()
            if self._tally.steps >= self._mark:
                self._marked.set()
        await client.rider.line.finish()

    async def _kill(self) -> None:
        """Kill the service and start it again, at random moments, until that is enough."""
        while self._tally.kills < self._goal.kills and not self.stopping:
            self._mark = self._tally.steps + self._draw_steps()
            self._marked.clear()
            await self._marked.wait()
            if self.stopping:
                return
            await asyncio.sleep(self._rng.uniform(0, _JITTER_S))
            self._victim.kill()
            self._tally.kills += 1
            self._save(clean=False)
            while self._rng.random() < _EARLY_SHARE:
                await self._victim.kill_early()
                self._tally.early_kills += 1
            await self._victim.start()

    def _draw_steps(self) -> int:
        """Time steps until the next kill: on average, what is left of them over the kills left."""
        kills_left = self._goal.kills - self._tally.kills
        steps_left = self._goal.steps - self._tally.steps
        return int(self._rng.uniform(0, 2 * max(_USUAL_STEPS, steps_left / kills_left)))

    async def _check_end(self) -> None:
        """The store holds what it should and nothing else, also after one more kill."""
        await self._check_all()
        if self._progress.store != "memory":
            self._victim.kill()
            await self._victim.start()
            await self._check_all()

    async def _check_all(self) -> None:
        await _together(*(client.check() for client in self._clients))
        await self._check_list()

    async def _check_list(self) -> None:
        """No session is there that was deleted, none is missing, each is where it should be."""
        found = await self._clients[0].rider.list_sessions()
        known = {
            truth.id: truth.place.position
            for client in self._clients
            for truth in client.rider.owned
        }
        for each in found.keys() - known.keys():
            if _run_of(each) > self._progress.forgotten:
                raise Violation(f"session {each} is in the store, and should not be")
        for each, position in known.items():
            if found.get(each) != position:
                raise Violation(f"session {each} is listed at {found.get(each)}, not {position}")

    def _known_sessions(self) -> list[list[Truth]]:
        """A list a client, from the run before if it ended in order."""
        progress = self._progress
        known: list[list[Truth]] = []
        if progress.clean:
            known = progress.sessions
        else:
            progress.forgotten = progress.runs - 1
        return known + [[] for _ in range(self._goal.num_clients - len(known))]

    def _client(self, owned: list[Truth]) -> Client:
        impatient = self._tally.timeouts < self._goal.timeouts
        line = Line(self._victim, self._tally, self._rng, impatient=impatient)
        rider = Rider(line, self._tally, self._rng, owned, self._goal.max_rows)
        return Client(rider, self._new_id)

    def _new_id(self) -> str:
        self._num_ids += 1
        return f"r{self._progress.runs}-{self._num_ids}"

    def _save(self, *, clean: bool) -> None:
        progress = self._progress
        progress.clean = clean
        progress.seconds = time.monotonic() - self._began
        progress.sessions = [client.rider.owned for client in self._clients] if clean else []
        progress.save(self._folder)

    async def _report(self, say: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            say(f"{time.monotonic() - self._began:.0f} s: {self._tally}")


async def _together(*tasks: Coroutine[None, None, None]) -> None:
    """Run them all; the first that fails ends the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in tasks:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _run_of(session_id: str) -> int:
    """The number of the run that made an id."""
    return int(session_id[1:].partition("-")[0])
