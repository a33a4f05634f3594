"""An engine and sessions around the witness, as app.py puts them together, for one test."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from carousel.models.artifact import Artifact
from carousel.models.manifest import FORMAT, Manifest, Parity
from carousel.models.repository import Repository
from carousel.models.row import Array, RowLayout
from carousel.models.spec import ModelSpec
from carousel.service.api.http.in_task import awaited
from carousel.service.backends.base import Backend
from carousel.service.engine.catalog import Catalog, CatalogUpdate
from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.core import Core
from carousel.service.engine.cost_curve import CostCurve, CostPoint
from carousel.service.engine.engine import Engine
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions
from carousel.service.engine.pace import Pace
from carousel.service.engine.scheduler import Limits, Scheduler
from carousel.service.sessions.clock import Clock as RealClock
from carousel.service.sessions.results import SessionInfo, StepReply
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.step import Step
from tests.harness.clocks import Clock
from tests.harness.fakes import PATIENCE_S, WITNESS, FaultyStore, NanSlots, WitnessBackend

MAX_TTL_S = 30 * 86400.0
LAYOUT = RowLayout(WITNESS.states)


def witness_engine(
    backend: Backend | None = None,
    *,
    num_slots: int = 16,
    max_rows: int = 256,
    max_requests: int = 4096,
    max_bytes: int = 1 << 26,
    budget_s: float = 0.005,
    spec: ModelSpec = WITNESS,
    lanes: int = 1,
    max_wait_s: float = 0.0,
) -> Engine:
    """An engine of the witness, not yet started, whose freed slots hold NaN. Each of its runs takes
    so long, by what is said of it, that it is for a lane, and as long for many rows as for one.
    """
    backend = backend if backend is not None else WitnessBackend()
    pool = WitnessBackend().make_pool(num_slots)
    limits = Limits(max_rows=max_rows, max_run_steps=None, chunked=True, mixed_lengths=True)
    cost = CostCurve([CostPoint(1, 1.0), CostPoint(1 << 20, 1.0)])
    core = Core(
        spec,
        backend,
        pool,
        Scheduler(limits, ChunkBudget(budget_s), Pace(lanes, cost)),
        initial_row=bytes(LAYOUT.nbytes),
        clock=time.monotonic,
        cost=cost,
    )
    slots = NanSlots(pool, LAYOUT.nbytes)
    return Engine(
        "witness/1",
        core,
        slots,
        max_requests=max_requests,
        max_bytes=max_bytes,
        max_wait_s=max_wait_s,
    )


def witness_model(
    engine: Engine,
    *,
    version: int = 1,
    state_id: str = "w",
    name: str = "witness",
    spec: ModelSpec = WITNESS,
) -> LoadedModel:
    """The witness as a loaded model; nothing of it is on disk."""
    manifest = Manifest(
        format=FORMAT,
        name=name,
        created_at="2026-01-01T00:00:00Z",
        state_id=state_id,
        spec=spec,
        programs={},
        parity=Parity(cases=()),
        golden="golden.safetensors",
        tools={},
        files={},
    )
    artifact = Artifact(Path("nowhere"), version, manifest)
    return LoadedModel(artifact, "onnx", "cpu", engine, bytes(LAYOUT.nbytes))


class Rig:
    """One served model, its sessions and their store. Inputs are numbers, answers running sums.

    Its clock, `self.clock`, stands still, unless it is given another.
    """

    def __init__(
        self,
        *,
        store: FaultyStore | None = None,
        shared: bool = False,
        ttl_s: float = 3600.0,
        max_waiting: int = 4096,
        num_slots: int = 16,
        max_rows: int = 256,
        max_requests: int = 4096,
        max_bytes: int = 1 << 26,
        lanes: int = 1,
        clock: RealClock | None = None,
        backend: WitnessBackend | None = None,
    ) -> None:
        self.backend = backend if backend is not None else WitnessBackend()
        self.engine = witness_engine(
            self.backend,
            num_slots=num_slots,
            max_rows=max_rows,
            max_requests=max_requests,
            max_bytes=max_bytes,
            lanes=lanes,
        )
        self.model = witness_model(self.engine)
        self.clock = Clock()
        self.store = store if store is not None else FaultyStore(shared=shared)
        self.catalog = Catalog(Repository(Path("nowhere")), LoadOptions())
        self.sessions = Sessions(
            self.store,
            self.catalog,
            ttl_s=ttl_s,
            max_ttl_s=MAX_TTL_S,
            tombstone_s=86400.0,
            deadline_s=PATIENCE_S,
            max_waiting=max_waiting,
            clock=clock if clock is not None else self.clock,
        )

    async def __aenter__(self) -> Self:
        self.serve(self.model)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.backend.go()
        await self.store.release()
        for model in self.catalog.all():
            await model.engine.stop()
        if kind is None:
            self._check_slots()

    def serve(self, *models: LoadedModel) -> list[LoadedModel]:
        """Serve these models and no others, as after a look at the repository."""
        resident: dict[str, dict[int, LoadedModel]] = {}
        for model in models:
            resident.setdefault(model.name, {})[model.version] = model
        before = self.catalog.all()
        added = [model for model in models if model not in before]
        for model in added:
            self.sessions.attach(model.engine)
        gone = self.catalog.publish(CatalogUpdate(resident, added, []))
        for model in gone:
            self.sessions.detach(model.engine)
        return gone

    async def open(self, session_id: str, *, tenant: str = "", model: str = "witness") -> str:
        """Open a session at its initial state; returns its id."""
        await self.sessions.open(tenant, model=model, session_id=session_id)
        return session_id

    async def info(self, session_id: str) -> SessionInfo:
        """The session, of the tenant without a name."""
        return await self.sessions.info("", session_id)

    async def step(
        self,
        session_id: str,
        *values: float,
        position: int | None = None,
        return_state: bool = False,
        commit: bool = True,
        tenant: str = "",
        deadline: float | None = None,
    ) -> StepReply:
        """Feed a session numbers, one a time step."""
        step = Step(
            {"x": sequence(*values)},
            len(values),
            deadline if deadline is not None else time.monotonic() + PATIENCE_S,
            position=position,
            return_state=return_state,
            commit=commit,
        )
        begin = self.sessions.begin
        return await awaited(
            lambda done: begin((tenant, session_id), lambda _: step, step.deadline, done)
        )

    async def total(self, session_id: str) -> float:
        """The running sum that the session's state holds."""
        read = await self.sessions.read_state("", session_id)
        return float(read.state["h"][0, 0])

    async def crowd_out(self) -> None:
        """Make so many strangers run at once that no idle session keeps its slot."""
        self.backend.hold()
        run = self.engine.infer
        slots = range(self.engine.slots.num_slots)
        soon = time.monotonic() + PATIENCE_S
        tasks = [asyncio.ensure_future(run({"x": sequence(1)}, 1, deadline=soon)) for _ in slots]
        await settle()
        self.backend.go()
        await asyncio.gather(*tasks)

    def _check_slots(self) -> None:
        """Every slot that is taken belongs to a session in memory, and nobody waits."""
        assert self.engine.num_pending == 0
        held = {
            session.slot
            for session in self.sessions.cache.resident._sessions.values()
            if session.loaded.engine is self.engine and session.slot >= 0
        }
        assert isinstance(self.engine.slots, NanSlots)
        assert self.engine.slots.taken == held, "a slot leaked"


def sequence(*values: float) -> Array:
    """The witness's input: each number in both features, (T, 2)."""
    return np.repeat(np.asarray(values, np.float32)[:, np.newaxis], 2, axis=1)


def sums(reply: StepReply) -> list[float]:
    """The running sums that a reply holds, one a time step."""
    output = np.asarray(reply.outputs["output"], np.float64)
    assert (output[:, 0] == output[:, 1]).all()
    return [float(value) for value in output[:, 0]]


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario on an event loop of its own, not for ever."""

    async def run() -> None:
        await asyncio.wait_for(scenario(), 2 * PATIENCE_S)

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something holds that will hold at once."""
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to hold")


async def settle(turns: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)
