"""One run: clients on several replicas of the service, trouble beneath them, histories judged."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.chaos.truth import Violation
from tests.harness.faulty_proxy import FaultyProxy
from tests.harness.histories import Absent, Seen
from tests.harness.redis_server import RedisServer
from tests.harness.replicas import ask as asks
from tests.harness.replicas.book import Book
from tests.harness.replicas.client import Client
from tests.harness.replicas.courier import Courier, NotSent
from tests.harness.replicas.judge import Judge
from tests.harness.replicas.replica import Replica
from tests.harness.replicas.session import Session
from tests.harness.replicas.tally import Tally
from tests.harness.replicas.trouble import Trouble

_REPORT_S = 5.0
_POLL_S = 0.05
# Longer than a replica takes to start, or Redis, or what is lost on a connection to be given up.
_RESUMES_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does. It ends after `seconds` or `operations`, whichever is given and first.

    `module`: what is run in place of the service. `proxy`: connections to Redis suffer as well.
    """

    seed: int
    seconds: float = float("inf")
    operations: float = float("inf")
    num_replicas: int = 2
    num_sessions: int = 3
    num_clients: int = 12
    think_s: float = 0.02
    max_pause_s: float = 6.0
    proxy: bool = False
    redis_kills: int = 0
    module: Sequence[str] = ()


class Run:
    """Works in `folder`, with the models of `repository`."""

    def __init__(self, plan: Plan, folder: Path, repository: Path) -> None:
        self.tally = Tally()
        self.seconds = 0.0
        self._stopping = False
        self._plan = plan
        self._folder = folder
        self._repository = repository
        self._rng = random.Random(plan.seed)
        self._book = Book(plan.num_sessions)
        self._judging: set[asyncio.Task[None]] = set()
        self._replicas: list[Replica] = []

    def __repr__(self) -> str:
        return f"<Run {self._plan} {self.tally}>"

    def stop(self) -> None:
        """Let each client finish what it is at, judge, and end."""
        self._stopping = True

    async def go(self, say: Callable[[str], None]) -> None:
        """Raises Violation."""
        sync = "always" if self._plan.redis_kills else "everysec"
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer(self._folder, "--appendfsync", sync))
            proxies = self._proxies(stack, redis)
            stores = [each.url for each in proxies] or [f"{redis.url}/0"] * self._plan.num_replicas
            for number, store in enumerate(stores):
                name = "abcdefgh"[number]
                replica = Replica(name, self._folder, self._repository, store, *self._plan.module)
                stack.callback(replica.stop)
                self._replicas.append(replica)
            judge = stack.enter_context(Judge(self.tally))
            await _together([each.start() for each in self._replicas])
            courier = Courier(self.tally)
            trouble = Trouble(
                self._replicas, proxies, redis, self._rng, self.tally, lambda: not self._is_over
            )
            try:
                await self._attack(courier, judge, trouble, say)
            except Violation:
                self.tally.violations += 1
                raise
            finally:
                await courier.close()

    @property
    def _is_over(self) -> bool:
        return self._stopping or self.tally.operations >= self._plan.operations

    def _proxies(self, stack: ExitStack, redis: RedisServer) -> list[FaultyProxy]:
        count = self._plan.num_replicas if self._plan.proxy else 0
        return [
            stack.enter_context(FaultyProxy(redis.port, seed=self._plan.seed + number))
            for number in range(count)
        ]

    async def _attack(
        self, courier: Courier, judge: Judge, trouble: Trouble, say: Callable[[str], None]
    ) -> None:
        plan = self._plan
        began = time.monotonic()
        timer = None
        if plan.seconds < float("inf"):
            timer = asyncio.get_running_loop().call_later(plan.seconds, self.stop)
        watch = asyncio.ensure_future(self._watch(courier, say, began))
        try:
            await _first_failure(
                [_together(self._works(courier, judge, trouble)), courier.failure, watch]
            )
            await _first_failure([self._finish_all(courier, judge), courier.failure, watch])
        finally:
            self.seconds = time.monotonic() - began
            watch.cancel()
            if timer is not None:
                timer.cancel()
            for task in self._judging:
                task.cancel()
            await asyncio.gather(watch, *self._judging, return_exceptions=True)

    def _works(
        self, courier: Courier, judge: Judge, trouble: Trouble
    ) -> list[Coroutine[Any, Any, None]]:
        plan = self._plan
        works = [trouble.disturb_replicas(plan.max_pause_s), self._keep(courier, judge)]
        for _ in range(plan.num_clients):
            client = Client(
                self._replicas, courier, self._book, self._rng, self.tally, plan.think_s
            )
            works.append(self._ride(client))
        if plan.proxy:
            works.append(trouble.disturb_network())
        if plan.redis_kills:
            every_s = min(plan.seconds, 60.0 * plan.redis_kills) / (plan.redis_kills + 1)
            works.append(trouble.kill_redis(plan.redis_kills, every_s))
        return works

    async def _ride(self, client: Client) -> None:
        while not self._is_over:
            await client.act()

    async def _keep(self, courier: Courier, judge: Judge) -> None:
        """Retire sessions that were stepped for long enough, and have them judged."""
        while not self._is_over:
            await asyncio.sleep(_POLL_S)
            self._book.retire_full(patient=any(each.is_paused for each in self._replicas))
            self._finish(courier, judge)

    async def _finish_all(self, courier: Courier, judge: Judge) -> None:
        for session in [*self._book.live]:
            self._book.replace(session, self._book.new())
        while self._book.num_retired or self._judging:
            self._finish(courier, judge)
            await asyncio.sleep(_POLL_S)

    def _finish(self, courier: Courier, judge: Judge) -> None:
        """Have the sessions judged that are done with; raises what was found."""
        for session in self._book.take_finished():
            self._judging.add(asyncio.ensure_future(self._judge(session, courier, judge)))
        for task in [each for each in self._judging if each.done()]:
            self._judging.discard(task)
            task.result()

    async def _judge(self, session: Session, courier: Courier, judge: Judge) -> None:
        """See on every replica where it stands in the end, and judge it all."""
        for replica in self._replicas:
            await self._see(session, courier, replica)
        await judge.judge(session)

    async def _see(self, session: Session, courier: Courier, replica: Replica) -> None:
        end = time.monotonic() + _RESUMES_S
        while time.monotonic() < end:
            try:
                done = await courier.send(asks.read_state(session, self._rng), replica, _RESUMES_S)
            except NotSent:
                done = ()
            if done and isinstance(done[0].answer, Seen | Absent):
                return
            await asyncio.sleep(_POLL_S)
        raise Violation(f"{replica!r} does not come back:\n{replica.log_tail()}")

    async def _watch(self, courier: Courier, say: Callable[[str], None], began: float) -> None:
        """Report, and see that replicas live and that some request is answered now and then."""
        while True:
            await asyncio.sleep(_REPORT_S)
            say(f"{time.monotonic() - began:.0f} s: {self.tally}")
            for replica in self._replicas:
                if replica.has_ended():
                    raise Violation(f"{replica!r} ended by itself:\n{replica.log_tail()}")
            if time.monotonic() - courier.answered_at > _RESUMES_S:
                raise Violation(f"nothing was answered for {_RESUMES_S:.0f} s")


async def _together(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do them all; the first that fails ends the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in works:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _first_failure(works: Sequence[Awaitable[None]]) -> None:
    """Return when the first of them is done, or raise what any of the others raises before."""
    first, *others = map(asyncio.ensure_future, works)
    try:
        done, _ = await asyncio.wait([first, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not first.done():
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
    for each in done:
        each.result()
