"""A client of sessions that it shares with all others: what it does next is drawn at random."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from tests.harness.histories import Absent, Done, Exists, Open, Operation, Read, Seen, Step, Write
from tests.harness.replicas import ask as asks
from tests.harness.replicas.ask import Ask, Part
from tests.harness.replicas.book import Book
from tests.harness.replicas.courier import Courier, NotSent
from tests.harness.replicas.replica import Replica
from tests.harness.replicas.session import Session
from tests.harness.replicas.tally import Tally

_TRIES = 4
_BACK_OFF_S = 0.03
_AWAY_S = 0.2
_MAX_VALUE = 2000
_MAX_TOTAL = 100_000
# So much is left to a fork's targets.
_FORK_ROOM = 4_000_000
_LONG_STEPS = 10_000
_LONG_SHARE = 0.004
_DEADLINES_MS = (100, 1000, 3000)


class Client:
    """Does one thing at a time. `think_s`: the most that it waits before the next.

    A request is sent to any replica; one without an answer is sent again to another.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        courier: Courier,
        book: Book,
        rng: random.Random,
        tally: Tally,
        think_s: float,
    ) -> None:
        self._replicas = replicas
        self._courier = courier
        self._book = book
        self._rng = rng
        self._tally = tally
        self._think_s = think_s
        self._acts: dict[Callable[[Session], Awaitable[None]], int] = {
            self._step: 50, self._step_unnamed: 8, self._repeat: 10, self._bulk: 4, self._look: 6,
            self._read: 8, self._reset: 2, self._write: 3, self._delete: 2, self._open: 3,
            self._fork: 1,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<Client {len(self._book.live)} sessions>"

    async def act(self) -> None:
        """Do one thing."""
        await asyncio.sleep(self._rng.uniform(0, self._think_s))
        session = self._rng.choice(self._book.live)
        await self._rng.choices(list(self._acts), list(self._acts.values()))[0](session)

    async def _step(self, session: Session) -> None:
        """One that names the position that was last heard of, or at times another."""
        call = self._new_step(session)
        if call is not None:
            await self._send_step(session, call)

    async def _step_unnamed(self, session: Session) -> None:
        call = self._new_step(session)
        if call is not None:
            # Sent once: a retry of it would run again.
            await self._send_step(session, replace(call, position=None), tries=1)

    async def _repeat(self, session: Session) -> None:
        """A step that somebody sent before, the last one mostly, in either encoding."""
        if session.recent:
            last = session.recent[-1]
            call = last if self._rng.random() < 0.5 else self._rng.choice(session.recent)
            if session.has_room_for(sum(call.values)):
                await self._send_step(session, call, tries=1)

    async def _bulk(self, _: Session) -> None:
        parts: list[Part] = []
        for session in self._book.live:
            call = self._new_step(session, may_be_long=False)
            if call is not None:
                parts.append(Part(session, call))
        if parts:
            await self._send(lambda: asks.bulk(parts))

    async def _look(self, session: Session) -> None:
        call = self._new_step(session)
        if call is not None:
            if self._rng.random() < 0.3:
                call = replace(call, position=None)
            await self._send(lambda: asks.look(session, call, self._rng))

    async def _read(self, session: Session) -> None:
        if self._rng.random() < 0.6:
            await self._send(lambda: asks.read_state(session, self._rng))
        else:
            await self._send(lambda: asks.read_info(session))

    async def _reset(self, session: Session) -> None:
        """What was done before it is forgotten then, by every replica."""
        await self._send(lambda: asks.reset(session))
        await self._repeat(session)

    async def _write(self, session: Session) -> None:
        """Near where it stands, so that positions come again."""
        position = max(0, session.position + self._rng.randint(-6, 6))
        call = Write(position, self._rng.randrange(_MAX_TOTAL))
        if session.has_room_for(call.total):
            await self._send(lambda: asks.write(session, call, self._rng))
            await self._repeat(session)

    async def _delete(self, session: Session) -> None:
        await self._send(lambda: asks.delete(session))
        await self._open(session)

    async def _open(self, session: Session) -> None:
        call = Open()
        total = self._rng.randrange(_MAX_TOTAL)
        if self._rng.random() < 0.4 and session.has_room_for(total):
            call = Open(self._rng.randrange(10), total)
        await self._send(lambda: asks.open_session(session, call))

    async def _fork(self, session: Session) -> None:
        """Into one or two new sessions, which take the places of others once they were read."""
        if not session.has_room_for(_FORK_ROOM):
            return
        targets = [self._book.new() for _ in range(self._rng.randint(1, 2))]
        for each in targets:
            each.bound = session.bound + _MAX_TOTAL
        done = await self._send(lambda: asks.fork(session, targets))
        for target, opened in zip(targets, done[1:], strict=False):
            if isinstance(opened.answer, Done | Exists):
                await self._see_forked(session, done[0], target)
                self._book.replace(self._rng.choice(self._book.live), target)

    async def _see_forked(self, source: Session, forked: Operation, target: Session) -> None:
        """What a new session holds, which nobody else knows of yet, its source held at the fork."""
        done = await self._send(lambda: asks.read_state(target, self._rng))
        if done and isinstance(done[0].answer, Seen) and isinstance(forked.answer, Seen):
            source.history.append(replace(forked, call=Read(), answer=done[0].answer))

    async def _send_step(self, session: Session, call: Step, tries: int = _TRIES) -> None:
        def build() -> Ask:
            wants_state = self._rng.random() < 0.1
            return asks.step(session, replace(call, return_state=wants_state), self._rng)

        done = await self._send(build, tries)
        if done and isinstance(done[0].answer, Absent) and self._rng.random() < 0.7:
            await self._open(session)

    async def _send(self, build: Callable[[], Ask], tries: int = _TRIES) -> Sequence[Operation]:
        """What the first try that is answered says of each part; nothing if none is."""
        replica = self._rng.choice(self._replicas)
        for _ in range(tries):
            ask = build()
            if self._rng.random() < 0.1:
                ask = asks.with_deadline(ask, self._rng.choice(_DEADLINES_MS))
            try:
                done = await self._courier.send(ask, replica, self._patience_s())
                if done and all(each.answer is not None for each in done):
                    return done
                self._tally.retries += 1
                if done:
                    # Redis is away, and says so at once.
                    await asyncio.sleep(self._rng.uniform(0, _AWAY_S))
            except NotSent:
                await asyncio.sleep(self._rng.uniform(0, _BACK_OFF_S))
            replica = self._rng.choice([each for each in self._replicas if each is not replica])
        return ()

    def _new_step(self, session: Session, *, may_be_long: bool = True) -> Step | None:
        """None where the sums would no longer be exact."""
        rng = self._rng
        if may_be_long and rng.random() < _LONG_SHARE:
            values = tuple(rng.choices((1, 2), k=_LONG_STEPS))
        else:
            most = 4 if rng.random() < 0.9 else 30
            values = tuple(rng.choices(range(1, _MAX_VALUE), k=rng.randint(1, most)))
        position = session.position
        if rng.random() < 0.06:
            position = max(0, position + rng.randint(-4, 4))
        return Step(values, position) if session.has_room_for(sum(values)) else None

    def _patience_s(self) -> float:
        return self._rng.uniform(0.05, 0.4) if self._rng.random() < 0.85 else 2.0
