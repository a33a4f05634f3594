"""What a server says of a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import index
from typing import Any

from carousel_client.document import expecting, text


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session; `position` is how many time steps it has consumed."""

    session_id: str
    model: str
    version: int
    position: int
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    state_bytes: int


@expecting("a session")
def read_session(document: Mapping[str, Any]) -> SessionInfo:
    """The SessionInfo of a JSON object; raises BadAnswer."""
    return SessionInfo(
        session_id=text(document["session_id"]),
        model=text(document["model"]),
        version=index(document["version"]),
        position=index(document["position"]),
        created_at=datetime.fromisoformat(document["created_at"]),
        last_used_at=datetime.fromisoformat(document["last_used_at"]),
        expires_at=datetime.fromisoformat(document["expires_at"]),
        state_bytes=index(document["state_bytes"]),
    )
