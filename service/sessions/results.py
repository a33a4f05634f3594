"""What the sessions layer answers: plain records, without encodings."""

from collections.abc import Mapping
from dataclasses import dataclass

from carousel.models.row import Array
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.sessions.session_record import SessionMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session as clients are shown it; times are seconds since the epoch."""

    session_id: str
    model: str
    version: int
    state_id: str
    position: int
    created_at: float
    last_used_at: float
    expires_at: float
    state_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReply:
    """The answer to one step. Outputs are in wire layout; `state`, if asked for, in session
    shape.
    """

    outputs: Mapping[str, Array]
    position: int
    state: Mapping[str, Array] | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRead:
    """A session's state by name, in session shape, and the tag of the revision it was read at."""

    position: int
    state: Mapping[str, Array]
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """One page of the list of sessions; `next` is what to give as `after`, None at the end."""

    sessions: tuple[SessionInfo, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """The sessions that a fork made, all at `position`."""

    position: int
    sessions: tuple[SessionInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Where a stream begins: the session, its metadata with the recorded replies, and its model."""

    info: SessionInfo
    meta: SessionMeta
    loaded: LoadedModel
