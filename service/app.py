"""The one file that knows every layer: it puts a service together, starts it and ends it."""

import asyncio
import logging
from contextlib import suppress
from typing import Literal

from carousel.models.repository import Repository, RepositoryError
from carousel.service.api.control import create_control
from carousel.service.api.encoding.codec import Codecs
from carousel.service.api.http.authenticator import Authenticator
from carousel.service.api.http.body import Bodies
from carousel.service.api.http.dependencies import Dependencies
from carousel.service.api.http.lifecycle import Lifecycle, Phase
from carousel.service.api.http.memory_budget import MemoryBudget
from carousel.service.api.http.traffic import Traffic
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.http.unread import Unread
from carousel.service.api.ops.figures import (
    engine_figures,
    session_figures,
    store_figures,
    traffic_figures,
)
from carousel.service.api.schema import create_schema
from carousel.service.api.server.gate import DataRoute, Gate
from carousel.service.api.streams.registry import StreamRegistry
from carousel.service.api.streams.services import StreamServices
from carousel.service.api.v1.bulk import BulkRoute
from carousel.service.api.v1.columnar.asked import ColumnLimits
from carousel.service.api.v1.columnar.columnar_steps import ColumnarSteps
from carousel.service.api.v1.infer import InferRoute
from carousel.service.api.v1.step import StepRoute
from carousel.service.api.v2.infer import OipInferRoute
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.cost_file import CostFile
from carousel.service.engine.loaded_model import LoadOptions
from carousel.service.errors import SettingError
from carousel.service.metrics import Metrics
from carousel.service.option import PREFIX
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.store_health import StoreHealth
from carousel.service.sessions.stores.base import Store
from carousel.service.sessions.stores.choose import open_store
from carousel.service.settings import Settings
from carousel.service.store_address import parse_address

log = logging.getLogger("carousel.service")

SWEEP_S = 30.0


class App:
    """A service: `gate` is its ASGI callable. Owned by one event loop from `start` to `stop`."""

    def __init__(
        self, settings: Settings, catalog: Catalog, sessions: Sessions, health: StoreHealth
    ) -> None:
        self.settings = settings
        self.catalog = catalog
        self.sessions = sessions
        self.health = health
        self.lifecycle = Lifecycle()
        self.traffic = Traffic()
        self.gate = self._make_gate()
        self._refreshing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<App {self.lifecycle!r} {self.catalog!r} {self.sessions!r}>"

    async def start(self) -> None:
        """Load the models; requests may come in meanwhile, and /readyz says no."""
        await self.health.begin()
        await self.refresh()
        served = {each.name for each in self.catalog.current()}
        for name in sorted(self.settings.memory_models - served):
            log.warning("%sMODEL_STORE names %s, which is not served now", PREFIX, name)
        self._tasks = [
            asyncio.create_task(self._sweep()),
            asyncio.create_task(self.health.watch()),
        ]
        if self.lifecycle.phase is Phase.LOADING:
            self.lifecycle.phase = Phase.READY

    async def refresh(self) -> None:
        """Serve what the model repository holds now."""
        async with self._refreshing:
            root = self.settings.model_repository
            if not root.is_dir() and self.catalog.current():
                raise RepositoryError(f"there is no folder {root} any more")
            change = await asyncio.to_thread(self.catalog.load)
            for loaded in change.added:
                self.sessions.attach(loaded.engine)
            gone = self.catalog.publish(change)
        for loaded in change.added:
            log.info("serving %s", loaded.described())
        for loaded in gone:
            log.info("no longer serving %s/%d", loaded.name, loaded.version)
            self.sessions.detach(loaded.engine)
            await loaded.engine.stop()

    async def drain(self, delay_s: float, timeout_s: float) -> None:
        """Say no on /readyz, go on for `delay_s`, then answer what was accepted and no more."""
        self.lifecycle.phase = Phase.LEAVING
        await asyncio.sleep(delay_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self.lifecycle.refuse()
        except TimeoutError:
            log.error("ended with %d requests unanswered", self.lifecycle.num_accepted)
        self.streams.end_all()

    async def stop(self) -> None:
        """End the engines, after what they were given, and the store, after what it was."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for loaded in self.catalog.all():
            await loaded.engine.stop()
        await self.sessions.store.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sessions.sweep()
            except Exception:
                log.exception("expired sessions were not swept; they will be at the next turn")

    def _make_gate(self) -> Gate:
        settings = self.settings
        codecs = Codecs(max_steps=settings.max_steps)
        self.budget = MemoryBudget(settings.max_held_bytes)
        transcoder, unread = Transcoder(self.budget), Unread(self.budget)
        # So one request leaves most of a queue to others.
        at_once = max(1, settings.queue_requests // 4)
        routes: tuple[DataRoute, ...] = (
            StepRoute(self.sessions, codecs, transcoder),
            BulkRoute(
                self.sessions, codecs, transcoder, self._columnar(codecs, transcoder, at_once)
            ),
            InferRoute(self.catalog, codecs, transcoder, max_at_once=at_once),
            OipInferRoute(
                self.catalog,
                self.sessions.sequences,
                transcoder,
                max_steps=settings.max_steps,
                max_at_once=at_once,
            ),
        )
        dependencies = Dependencies(
            catalog=self.catalog,
            sessions=self.sessions,
            codecs=codecs,
            lifecycle=self.lifecycle,
            health=self.health,
            metrics=self._make_metrics(),
            transcoder=transcoder,
            max_ttl_s=settings.max_ttl_s,
            deadline_s=settings.deadline_s,
        )
        authenticator = Authenticator(settings.api_key, settings.host_names, settings.origins)
        self.streams = StreamRegistry(
            StreamServices(
                sessions=self.sessions,
                codecs=codecs,
                transcoder=transcoder,
                authenticator=authenticator,
                lifecycle=self.lifecycle,
                traffic=self.traffic,
                budget=self.budget,
                unread=unread,
                deadline_s=settings.deadline_s,
                max_ttl_s=settings.max_ttl_s,
                max_message_bytes=settings.max_body_bytes,
            )
        )
        control = create_control(dependencies)
        control.state.schema = create_schema(control, [each.paths for each in routes])
        return Gate(
            routes,
            control,
            authenticator=authenticator,
            bodies=self._make_bodies(),
            lifecycle=self.lifecycle,
            traffic=self.traffic,
            deadline_s=settings.deadline_s,
            streams=self.streams,
            unread=unread,
            origins=settings.origins,
        )

    def _columnar(self, codecs: Codecs, transcoder: Transcoder, at_once: int) -> ColumnarSteps:
        settings = self.settings
        limits = ColumnLimits(
            max_rows=settings.max_bulk_rows,
            # As many rows as there may be have a time step each.
            max_steps=max(settings.max_steps, settings.max_bulk_rows),
            max_ttl_s=settings.max_ttl_s,
        )
        return ColumnarSteps(
            self.sessions, self.catalog, codecs, transcoder, limits, max_at_once=at_once
        )

    def _make_bodies(self) -> Bodies:
        return Bodies(
            self.budget,
            max_bytes=self.settings.max_body_bytes,
            timeout_s=self.settings.deadline_s,
        )

    def _make_metrics(self) -> Metrics:
        metrics = Metrics()
        metrics.add(lambda: traffic_figures(self.traffic, self.lifecycle))
        metrics.add(lambda: engine_figures(self.catalog))
        metrics.add(lambda: session_figures(self.sessions))
        metrics.add(lambda: store_figures(self.sessions.store.stats, self.health))
        return metrics


def create_app(settings: Settings) -> App:
    """A service by its settings, not yet started, and its store open; raises SettingError."""
    if not settings.model_repository.is_dir():
        raise SettingError(
            PREFIX + "MODEL_REPOSITORY",
            f"there is no folder {settings.model_repository}; "
            "carousel-export --zoo all --model-repository DIR makes one with the reference models",
        )
    options = LoadOptions(
        program=settings.program,
        device=_choose_device(settings.device),
        threads=settings.threads,
        lanes=settings.num_lanes,
        cost_file=CostFile(settings.data_dir / "model-costs.json"),
        pool_bytes=settings.pool_bytes,
        resident_sessions=settings.resident_sessions,
        queue_requests=settings.queue_requests,
        queue_bytes=settings.queue_bytes,
        max_wait_s=settings.max_wait_ms / 1000,
        chunk_s=settings.chunk_ms / 1000,
        max_run_bytes=settings.max_run_bytes,
    )
    catalog = Catalog(Repository(settings.model_repository), options)
    # Last of all that may be refused: nothing is left open then.
    store = _open_store(settings)
    sessions = Sessions(
        store,
        catalog,
        ttl_s=settings.ttl_s,
        max_ttl_s=settings.max_ttl_s,
        tombstone_s=settings.tombstone_s,
        deadline_s=settings.deadline_s,
        max_waiting=settings.queue_requests,
        clock=store.clock,
    )
    return App(settings, catalog, sessions, StoreHealth(store))


def _open_store(settings: Settings) -> Store:
    return open_store(
        parse_address(settings.store),
        data_dir=settings.data_dir,
        durability=settings.durability,
        store_bytes=settings.store_bytes,
        memory_models=settings.memory_models,
        redis_password=settings.redis_password,
        redis_unsafe=settings.redis_unsafe,
    )


def _choose_device(wanted: Literal["cpu", "cuda", "auto"]) -> Literal["cpu", "cuda"]:
    """Where models run. Imports torch, but only where CUDA is asked for."""
    if wanted == "cpu":
        return "cpu"
    try:
        from carousel.service.backends import torchscript
    except ImportError:
        problem = "CUDA runs TorchScript programs, and torch is not installed"
    else:
        # torch is imported by backends alone.
        torch = torchscript.torch  # type: ignore[attr-defined]
        if torch.cuda.is_available():
            return "cuda"
        problem = (
            "torch sees no CUDA device"
            if torch.version.cuda
            else "the torch that is installed is built for the CPU alone"
        )
    if wanted == "cuda":
        raise SettingError(PREFIX + "DEVICE", f"'cuda' cannot be used: {problem}")
    return "cpu"
