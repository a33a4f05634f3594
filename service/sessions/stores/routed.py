"""Two stores behind one door: some models keep their sessions in memory, the others in a durable
store.
"""

from asyncio import Event
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from heapq import merge

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.session_record import Key, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Damaged, Done, Found, Outcome, Store, Write
from carousel.service.sessions.stores.memory import MemoryStore


class RoutedStore:
    """A session is opened in its model's store and stays where it is: also when its model was moved
    between two starts.

    An id is in one of the two stores: within this process, which alone knows its memory. What is
    left of an expired session may be in the other one, and shows again once the new one is deleted.
    """

    def __init__(self, durable: Store, memory: MemoryStore, models: frozenset[str]) -> None:
        self.name = f"{durable.name}+memory"
        self.shared = durable.shared
        self.stats = durable.stats
        self.clock = durable.clock
        self._durable = durable
        self._memory = memory
        self._models = models
        # Ids that are being opened; set once whoever opens them is done.
        self._opening: dict[Key, Event] = {}

    def __repr__(self) -> str:
        return f"<RoutedStore {self._durable!r} {self._memory!r} models={sorted(self._models)}>"

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write each row where its session is. A batch is of one model, so one store nearly always
        has all of its sessions; where two have, an error of the durable one is the error of all
        rows: `unknown` is true of those in memory too, and costs them no more than being loaded.
        """
        here = [self._memory.holds(each.record.meta.key) for each in writes]
        if not any(here):
            self._durable.commit(writes, done)
            return
        if all(here):
            self._memory.commit(writes, done)
            return
        first: list[Outcome] = []

        def keep(outcomes: Sequence[Outcome] | StoreUnavailable) -> None:
            assert not isinstance(outcomes, StoreUnavailable), "memory is always there"
            first.extend(outcomes)

        def join(outcomes: Sequence[Outcome] | StoreUnavailable) -> None:
            if isinstance(outcomes, StoreUnavailable):
                done(outcomes)
            else:
                done(_join(here, first, outcomes))

        # Memory calls back before it returns.
        self._memory.commit(_pick(writes, here, True), keep)
        self._durable.commit(_pick(writes, here, False), join)

    async def write(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        """Write. What is written at once, all or none, is opened: of one model, in its store. Every
        other session is written where it is.
        """
        opened = [each for each in writes if atomic or each.base is None]
        here = [
            each.record.meta.model in self._models
            if atomic or each.base is None
            else self._memory.holds(each.record.meta.key)
            for each in writes
        ]
        assert not atomic or len(set(here)) <= 1, "two stores cannot write all or none"
        async with self._alone(each.record.meta.key for each in opened):
            # Memory first: it may be full, and then nothing is written.
            ours = await self._write(
                self._memory, self._durable, _pick(writes, here, True), atomic=atomic
            )
            theirs = await self._write(
                self._durable, self._memory, _pick(writes, here, False), atomic=atomic
            )
        return _join(here, ours, theirs)

    async def load(self, key: Key) -> Found:
        """The session, from whichever store has it; a session goes before a tombstone."""
        found = await self._memory.load(key)
        if isinstance(found, SessionRecord):
            return found
        there = await self._durable.load(key)
        return found if there is None else there

    async def delete(self, key: Key, base: bytes) -> Outcome:
        store: Store = self._memory if self._memory.holds(key) else self._durable
        return await store.delete(key, base)

    async def page(
        self, tenant: str, model: str | None, after: str | None, limit: int, now: float
    ) -> list[tuple[SessionMeta, int]]:
        """The first of both, in order of id."""
        ours = await self._memory.page(tenant, model, after, limit, now)
        theirs = await self._durable.page(tenant, model, after, limit, now)
        return list(merge(ours, theirs, key=lambda each: each[0].id))[:limit]

    async def expire(self, expired_before: float, buried_before: float) -> list[Key]:
        """Bury in both. The durable one first: if it fails, what memory buried would not be told of
        any more.
        """
        theirs = await self._durable.expire(expired_before, buried_before)
        return theirs + await self._memory.expire(expired_before, buried_before)

    async def straighten(self, now: float, latest: float) -> None:
        """In both."""
        await self._durable.straighten(now, latest)
        await self._memory.straighten(now, latest)

    async def ping(self) -> None:
        """Raise while the durable store is away."""
        await self._durable.ping()

    async def close(self) -> None:
        await self._durable.close()
        await self._memory.close()

    @asynccontextmanager
    async def _alone(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Nobody else opens these ids meanwhile, in either store."""
        wanted = frozenset(keys)
        while taken := wanted & self._opening.keys():
            await self._opening[min(taken)].wait()
        done = Event()
        self._opening.update(dict.fromkeys(wanted, done))
        try:
            yield
        finally:
            for key in wanted:
                del self._opening[key]
            done.set()

    async def _write(
        self, store: Store, other: Store, writes: Sequence[Write], *, atomic: bool
    ) -> list[Outcome]:
        """Write to `store` what nothing in the other one stands against."""
        if not writes:
            return []
        ready = [await self._bring(each, other, atomic=atomic) for each in writes]
        refused = [each for each in ready if isinstance(each, Outcome)]
        if refused and atomic:
            return [each if isinstance(each, Outcome) else Outcome.WRITTEN for each in ready]
        left = [each for each in ready if isinstance(each, Write)]
        written = iter(await store.write(left, atomic=atomic) if left else [])
        return [each if isinstance(each, Outcome) else next(written) for each in ready]

    async def _bring(self, write: Write, other: Store, *, atomic: bool) -> Write | Outcome:
        """The write as its store can do it, or the outcome where the other store has the session.

        An expired session of another model, whose id is opened anew, is deleted in the other store:
        should the write then fail, no tombstone tells that it had been there.
        """
        key = write.record.meta.key
        if write.base is None:
            there = await other.load(key)
            return Outcome.LOST if isinstance(there, SessionRecord | Damaged) else write
        in_other = self._memory.holds(key) is (other is self._memory)
        if not atomic or not in_other:
            return write
        outcome = await other.delete(key, write.base)
        return Write(None, write.record) if outcome is Outcome.WRITTEN else outcome


def _pick(writes: Sequence[Write], here: Sequence[bool], wanted: bool) -> list[Write]:
    return [each for each, is_here in zip(writes, here, strict=True) if is_here is wanted]


def _join(
    here: Sequence[bool], ours: Sequence[Outcome], theirs: Sequence[Outcome]
) -> list[Outcome]:
    """The outcomes of both stores in the order of the writes."""
    first, second = iter(ours), iter(theirs)
    return [next(first) if is_here else next(second) for is_here in here]
