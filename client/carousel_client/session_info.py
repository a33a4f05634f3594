"""What a server says of a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import index
from typing import Any

import httpx

from carousel_client.document import expecting, text
from carousel_client.errors import BadAnswer

POSITION = "Carousel-Position"


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session; `position` is how many time steps it has consumed. `state_id` names the weights
    that its state fits; None from a server that does not say it.
    """

    session_id: str
    model: str
    version: int
    position: int
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    state_bytes: int
    state_id: str | None = None


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions in order of id. `next`: what those that follow come `after`; None at the end."""

    sessions: list[SessionInfo]
    next: str | None


@expecting("a session")
def read_session(document: Mapping[str, Any]) -> SessionInfo:
    """The SessionInfo of a JSON object; raises BadAnswer."""
    weights = document.get("state_id")
    return SessionInfo(
        session_id=text(document["session_id"]),
        model=text(document["model"]),
        version=index(document["version"]),
        position=index(document["position"]),
        created_at=_time(document["created_at"]),
        last_used_at=_time(document["last_used_at"]),
        expires_at=_time(document["expires_at"]),
        state_bytes=index(document["state_bytes"]),
        state_id=None if weights is None else text(weights),
    )


def position_of(response: httpx.Response) -> int:
    """Where the session stands with what an answer holds; raises BadAnswer."""
    try:
        return int(response.headers[POSITION])
    except (KeyError, ValueError):
        raise BadAnswer("the answer does not say where the session stands") from None


def _time(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError
    return found
