"""Small real fakes behind the service's own interfaces, above all the witness.

The witness is a ReLU RNN with identity weights, fed integers: its state is the exact running sum of
its inputs, and its output the sum so far, so a lost, doubled or reordered step shows in the output.
`tests/harness/rig.py` puts an engine and sessions around it.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array, RowLayout
from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.backends.base import ByteRows, DeviceFailed
from carousel.service.backends.numpy_pool import NumpyPool
from carousel.service.engine.slots import Slots
from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.session_record import Key, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Done, Found, Outcome, Store, Write
from carousel.service.sessions.stores.memory import MemoryStore

WITNESS = ModelSpec(
    inputs=(InputSpec(name="x", dtype="float32", axes=("batch", "time", 2)),),
    outputs=(OutputSpec(name="output", dtype="float32", axes=("batch", "time", 2), per="step"),),
    states=(StateSpec(name="h", dtype="float32", axes=(1, "batch", 2), output="h_out"),),
    streaming="step",
)

# How long a test waits for what must happen at once.
PATIENCE_S = 10.0


class WitnessBackend:
    """h_t = relu(x_t + h_(t-1)) in NumPy.

    An input equal to `poison` makes its whole batch fail, one equal to `fatal` is the end of the
    device. Between `hold` and `go` a run waits inside.
    """

    mixed_lengths = True

    def __init__(self, poison: float = -777.0, fatal: float = -999.0) -> None:
        self.poison = poison
        self.fatal = fatal
        self.batches: list[tuple[int, int]] = []
        self.seen: list[tuple[Array, npt.NDArray[np.int32]]] = []
        self._entered = threading.Semaphore(0)
        self._go = threading.Event()
        self._go.set()

    def make_pool(self, num_slots: int) -> NumpyPool:
        """A pool in host memory."""
        return NumpyPool(WITNESS, RowLayout(WITNESS.states), num_slots)

    def hold(self) -> None:
        """Let the runs that begin from now on wait."""
        self._entered = threading.Semaphore(0)
        self._go.clear()

    def go(self) -> None:
        """Let them go on."""
        self._go.set()

    async def entered(self) -> None:
        """Wait until a run waits inside."""
        assert await asyncio.to_thread(self._entered.acquire, timeout=PATIENCE_S), "no run began"

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[Array],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[Array]]:
        """Running sums (B, T, 2) and the last of each row, (1, B, 2)."""
        self._entered.release()
        assert self._go.wait(PATIENCE_S), "nobody let the run go on"
        x = inputs["x"]  # (B, T, 2)
        self.batches.append((x.shape[0], x.shape[1]))
        self.seen.append((x.copy(), lengths.copy()))
        if (x == self.fatal).any():
            raise DeviceFailed("the device is lost")
        if (x == self.poison).any():
            raise ValueError("poisoned batch")
        h = states[0][0].copy()  # (B, 2)
        output = np.zeros_like(x)  # (B, T, 2)
        with np.errstate(over="ignore"):
            for step in range(x.shape[1]):
                live = (step < lengths)[:, np.newaxis]  # (B, 1)
                h = np.where(live, np.maximum(x[:, step] + h, 0), h)
                output[:, step] = h
        return [output], [h[np.newaxis].astype(np.float32)]

    def wait(self) -> None:
        """Nothing is ever on its way."""


class NanSlots(Slots):
    """Fills every slot with NaN when it is given back, and counts itself against double gifts."""

    def __init__(self, pool: NumpyPool, nbytes: int) -> None:
        super().__init__(pool.num_slots)
        self._pool = pool
        self._nan = np.full(nbytes // 4, np.nan, np.float32).tobytes()
        self.taken: set[int] = set()
        for slot in range(pool.num_slots):
            pool.write(slot, self._nan)

    def take(self) -> int | None:
        """As Slots, and nobody else has the slot."""
        slot = super().take()
        assert slot not in self.taken, f"slot {slot} was given to two"
        if slot is not None:
            self.taken.add(slot)
        return slot

    def take_many(self, count: int) -> list[int]:
        """As Slots, and nobody else has one of them."""
        slots = super().take_many(count)
        assert not self.taken.intersection(slots), f"of {slots} one was given to two"
        self.taken.update(slots)
        return slots

    def give(self, slot: int) -> None:
        """As Slots, and the giver had it."""
        self.taken.remove(slot)
        self._pool.write(slot, self._nan)
        super().give(slot)


class FlakyPool(NumpyPool):
    """A pool whose next copy to the host fails, after the run and its states are made."""

    failing = False

    def to_host(self, rows: ByteRows, indexes: Sequence[int]) -> ByteRows:
        """As NumpyPool, once not."""
        if self.failing:
            self.failing = False
            raise MemoryError("no room for the copies")
        return super().to_host(rows, indexes)


class FaultyStore:
    """A store, in memory unless given, as a test wants it: shared, slow, away, or written to by
    another process.

    `lose`: the next commit is answered StoreUnavailable, the write done (`after`) or not
    (`before`). `away`: every other call raises StoreUnavailable. Between `hold` and `release`
    commits wait, and their `done` then comes from another thread. `meanwhile` runs once, before the
    next write or delete. What was read waits for `answers`.
    """

    name = "faulty"

    def __init__(self, inner: Store | None = None, *, shared: bool = False) -> None:
        self.inner = inner if inner is not None else MemoryStore(1 << 30)
        self.stats = self.inner.stats
        self.clock = self.inner.clock
        self.shared = shared or self.inner.shared
        self.lose: Literal["before", "after"] | None = None
        self.away = False
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.commits: list[list[str]] = []
        self.loads: list[str] = []
        self.answers: asyncio.Event | None = None
        self._holding = False
        self._held: list[tuple[Sequence[Write], Done]] = []
        self._arrived = threading.Semaphore(0)

    def hold(self) -> None:
        """Let commits wait from now on."""
        self._holding = True

    async def held(self) -> None:
        """Wait until one more commit waits."""
        assert await asyncio.to_thread(self._arrived.acquire, timeout=PATIENCE_S), "no commit came"

    async def release(self) -> None:
        """Write what waits, in order, on another thread."""
        self._holding = False
        held, self._held = self._held, []
        for writes, done in held:
            await asyncio.to_thread(self._commit, writes, done)

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write, or wait to be released."""
        self.commits.append([write.record.meta.key[1] for write in writes])
        if self._holding:
            self._held.append((writes, done))
            self._arrived.release()
        else:
            self._commit(writes, done)

    async def write(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        """As the store within."""
        await self._before()
        return await self.inner.write(writes, atomic=atomic)

    async def load(self, key: Key) -> Found:
        """As the store within, after letting others run."""
        self.loads.append(key[1])
        await asyncio.sleep(0)
        self._here()
        found = await self.inner.load(key)
        if self.answers is not None:
            await self.answers.wait()
        return found

    async def delete(self, key: Key, base: bytes) -> Outcome:
        """As the store within."""
        await self._before()
        return await self.inner.delete(key, base)

    async def page(
        self, tenant: str, model: str | None, after: str | None, limit: int, now: float
    ) -> list[tuple[SessionMeta, int]]:
        """As the store within."""
        self._here()
        return await self.inner.page(tenant, model, after, limit, now)

    async def expire(self, expired_before: float, buried_before: float) -> list[Key]:
        """As the store within."""
        self._here()
        return await self.inner.expire(expired_before, buried_before)

    async def straighten(self, now: float, latest: float) -> None:
        """As the store within."""
        self._here()
        await self.inner.straighten(now, latest)

    async def ping(self) -> None:
        """Raises StoreUnavailable while away."""
        self._here()
        await self.inner.ping()

    async def close(self) -> None:
        """As the store within."""
        await self.inner.close()

    async def record(self, session_id: str, tenant: str = "") -> SessionRecord:
        """What the store holds, whatever the sessions believe."""
        found = await self.inner.load((tenant, session_id))
        assert isinstance(found, SessionRecord)
        return found

    async def elsewhere(self, session_id: str, total: float, position: int) -> None:
        """Another process moves a session of the witness to a running sum and a position."""
        old = await self.record(session_id)
        row = np.full(2, total, np.float32).tobytes().ljust(len(old.state), b"\0")
        meta = replace(old.meta, revision=new_revision(), position=position, replies=b"")
        assert await self.inner.write([Write(old.meta.revision, SessionRecord(meta, row))]) == [
            Outcome.WRITTEN
        ]

    async def vanish(self, session_id: str) -> None:
        """Another process deletes a session."""
        old = await self.record(session_id)
        assert await self.inner.delete(old.meta.key, old.meta.revision) is Outcome.WRITTEN

    def _commit(self, writes: Sequence[Write], done: Done) -> None:
        lose, self.lose = self.lose, None
        lost = StoreUnavailable("the store went away")
        if lose == "after":
            self.inner.commit(writes, lambda outcomes: done(lost))
        elif lose == "before":
            done(lost)
        else:
            self.inner.commit(writes, done)

    async def _before(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        self._here()

    def _here(self) -> None:
        if self.away:
            raise StoreUnavailable("the store is away")
