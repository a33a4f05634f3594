"""What the routes of the control plane work on, handed to them by the framework."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.api.codec import Codecs
from service.api.lifecycle import Lifecycle
from service.engine.catalog import Catalog
from service.metrics import Metrics
from service.sessions.health import Health
from service.sessions.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one service."""

    catalog: Catalog
    sessions: Sessions
    codecs: Codecs
    lifecycle: Lifecycle
    health: Health
    metrics: Metrics
    max_ttl_s: float


async def _parts_of(request: Request) -> Parts:
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


async def _tenant_of(request: Request) -> str:
    """Who asks, as the gate found out."""
    tenant = request.scope["state"]["tenant"]
    assert isinstance(tenant, str)
    return tenant


Given = Annotated[Parts, Depends(_parts_of)]
Tenant = Annotated[str, Depends(_tenant_of)]
