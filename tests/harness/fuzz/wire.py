"""The attack over raw sockets: cuts, mutants, pipelines, streams; slow clients beside them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import islice
from typing import TypeVar

from tests.harness.fuzz.lines import HEADS, frame_seeds
from tests.harness.fuzz.link import Link
from tests.harness.fuzz.mutator import Mutator
from tests.harness.fuzz.outcome import Outcome
from tests.harness.fuzz.slow import Slow

_AT_ONCE = 8
_STREAM = next(each for each in HEADS if b"/stream?" in each)
_INTERNAL = 1011
_PATIENCE_S = 10.0
_Job = TypeVar("_Job")


class Wire:
    """Attacks the service on `port`, which has the witness and its session `fuzz`."""

    def __init__(self, port: int, outcome: Outcome, seed: int) -> None:
        self._port = port
        self._outcome = outcome
        self._seed = seed
        self._rng = random.Random(seed)

    def __repr__(self) -> str:
        return f"<Wire {self._port} inputs={self._outcome.inputs}>"

    async def attack(self, num_inputs: int, *, every: int = 1) -> None:
        """Every cut (or one of `every`), then as many mutants, streams and pipelines as are left;
        slow clients all the while.
        """
        async with Slow(self._port):
            await self._cut_all(every)
            left = max(0, num_inputs - self._outcome.inputs)
            mutants, frames = Mutator(HEADS, self._seed), Mutator(frame_seeds(), self._seed)
            jobs = [self._mutant] * 6 + [self._stream] * 3 + [self._pipeline]
            await _several(
                islice(iter(lambda: (self._rng.choice(jobs), mutants, frames), None), left),
                lambda job: job[0](job[1], job[2]),
            )

    async def _cut_all(self, every: int) -> None:
        for request in HEADS:
            usual = await self._statuses([request], 0)
            usual = await self._statuses([request], len(usual))
            cuts = range(self._rng.randrange(every), len(request), every)
            await _several(cuts, partial(self._cut, request, usual))

    async def _cut(self, request: bytes, usual: list[int], at: int) -> None:
        """A client that goes away there, and one whose request comes in two pieces."""
        async with Link(self._port) as link:
            await link.send(request[:at])
            self._outcome.inputs += 1
        found = await self._statuses([request[:at], request[at:]], len(usual))
        if found != usual:
            self._outcome.findings.append(
                f"wire: answered {found} where cut at {at}, and {usual} whole: {request[:60]!r}"
            )

    async def _statuses(self, pieces: list[bytes], number: int) -> list[int]:
        async with Link(self._port) as link:
            await link.send(*pieces)
            await link.read(first_s=_PATIENCE_S if number else 0.5, then_s=0.1, num_statuses=number)
            return self._count(link)

    async def _mutant(self, mutants: Mutator, _: Mutator) -> None:
        data = mutants.draw()
        at = self._rng.randint(0, len(data))
        async with Link(self._port) as link:
            await link.send(data[:at], data[at:])
            await link.read(first_s=0.03, then_s=0.01)
            self._count(link)

    async def _stream(self, _: Mutator, frames: Mutator) -> None:
        data = frames.draw()
        at = self._rng.randint(0, len(data))
        async with Link(self._port) as link:
            await link.send(_STREAM + data[:at], data[at:])
            await link.read(first_s=0.05, then_s=0.02)
            self._count(link)
            if link.close_code() == _INTERNAL:
                self._outcome.findings.append(f"wire: a stream closed with 1011 on {data!r}")

    async def _pipeline(self, mutants: Mutator, _: Mutator) -> None:
        number = self._rng.choice((2, 16, 64))
        data = b"".join(mutants.draw() for _ in range(number))
        async with Link(self._port) as link:
            await link.send(data, patience_s=2)
            await link.read(first_s=0.05, then_s=0.02)
            self._count(link)

    def _count(self, link: Link) -> list[int]:
        self._outcome.inputs += 1
        for status in link.statuses:
            self._outcome.add(status)
        return link.statuses


async def _several(jobs: Iterable[_Job], act: Callable[[_Job], Awaitable[None]]) -> None:
    """Do all of them, a few at once."""
    left = iter(jobs)

    async def work() -> None:
        for job in left:
            await act(job)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
