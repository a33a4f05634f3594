"""What the routes of the control plane work on, handed to them by the framework."""

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from carousel.service.api.encoding.codec import Codecs
from carousel.service.api.http.exchange import read_timeout_ms
from carousel.service.api.http.lifecycle import Lifecycle
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.engine.catalog import Catalog
from carousel.service.metrics import Metrics
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.store_health import StoreHealth


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts of one service."""

    catalog: Catalog
    sessions: Sessions
    codecs: Codecs
    lifecycle: Lifecycle
    health: StoreHealth
    metrics: Metrics
    transcoder: Transcoder
    max_ttl_s: float
    deadline_s: float


async def _dependencies_of(request: Request) -> Dependencies:
    dependencies = request.app.state.dependencies
    assert isinstance(dependencies, Dependencies)
    return dependencies


async def _tenant_of(request: Request) -> str:
    """Who asks, as the gate found out."""
    tenant = request.scope["state"]["tenant"]
    assert isinstance(tenant, str)
    return tenant


async def _deadline_of(
    timeout_ms: Annotated[str | None, Header(alias="X-Request-Timeout-Ms")] = None,
) -> float | None:
    """When the request must have begun, on the monotonic clock, if it says so."""
    if timeout_ms is None:
        return None
    return time.monotonic() + read_timeout_ms(timeout_ms.encode("latin-1")) / 1000


Deps = Annotated[Dependencies, Depends(_dependencies_of)]
Tenant = Annotated[str, Depends(_tenant_of)]
Deadline = Annotated[float | None, Depends(_deadline_of)]
