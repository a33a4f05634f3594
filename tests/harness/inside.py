"""A service around the witness in this process, reached without a socket."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from carousel.service.api.http.authenticator import TENANT
from carousel.service.api.http.lifecycle import Phase
from carousel.service.app import App
from carousel.service.sessions.store_health import StoreHealth
from carousel.service.settings import Settings
from tests.harness.rig import Rig, play

ONE = [[1.0, 1.0]]
SETTINGS = Settings(model_repository=Path())


class Service:
    """An app around a rig, and a client that reaches it without a socket."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.health = StoreHealth(rig.store, rig.clock)
        self.app = App(SETTINGS, rig.catalog, rig.sessions, self.health)
        self.app.lifecycle.phase = Phase.READY
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app.gate), base_url="http://localhost"
        )

    async def __aenter__(self) -> Self:
        await self.rig.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.aclose()
        await self.rig.__aexit__(kind, error, trace)

    async def open(self, session_id: str) -> None:
        """Open a session."""
        await self.rig.open(session_id, tenant=TENANT)

    async def step(self, session_id: str, inputs: Any = ONE, **more: Any) -> httpx.Response:
        """Step it."""
        path = f"/v1/sessions/{session_id}/steps"
        return await self.http.post(path, json={"inputs": inputs, **more})

    async def infer(self, *sequences: Any, **headers: str) -> httpx.Response:
        """Run sequences."""
        body = {"sequences": list(sequences)}
        return await self.http.post("/v1/models/witness/infer", json=body, headers=headers)


def serve(scenario: Callable[[Service], Awaitable[None]], rig: Rig | None = None) -> None:
    """Run a scenario around a service."""

    async def run() -> None:
        async with Service(rig if rig is not None else Rig()) as service:
            await scenario(service)

    play(run)
