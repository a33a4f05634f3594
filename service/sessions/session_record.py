"""What a store keeps of a session: its metadata, with the replies of its last steps, and its state.

Metadata and records are made once a step and never changed once they are written; a store that is
full may shed replies as it writes. They are not `frozen`: that makes them several times as dear to
make.
"""

from dataclasses import dataclass, field

# Whose session, and its id.
Key = tuple[str, str]

# How long the last step of a sequence that was ended can be answered again.
ENDED_S = 600.0


@dataclass(slots=True)
class SessionIdentity:
    """What was settled when the session was opened, shared by all that is kept of it since.

    `place` and `packed` are the store's: where it keeps the session, and this as bytes.
    """

    key: Key
    model: str
    state_id: str
    created_at: float
    ttl_s: float
    place: int = field(default=0, compare=False)
    packed: bytes = field(default=b"", compare=False, repr=False)


@dataclass(slots=True)
class SessionMeta:
    """A session but for its state. Times are seconds since the epoch, `revision` is 16 random
    bytes, `replies` are packed (recorded_reply.py).

    `ended`: its last step closed it. What is left answers that step again, and is no session to
    anybody else. `started`: its last step is the one that began a sequence (sequences.py).
    """

    identity: SessionIdentity
    version: int
    revision: bytes
    position: int
    used_at: float
    replies: bytes = b""
    ended: bool = False
    started: bool = False

    @property
    def key(self) -> Key:
        return self.identity.key

    @property
    def id(self) -> str:
        return self.identity.key[1]

    @property
    def model(self) -> str:
        return self.identity.model

    @property
    def state_id(self) -> str:
        """Which weights the state fits."""
        return self.identity.state_id

    @property
    def lives_s(self) -> float:
        """How long it is there after its last use."""
        return ENDED_S if self.ended else self.identity.ttl_s

    @property
    def expires_at(self) -> float:
        """No session ends before that unless it is used again; when it does, the clock says
        (`Clock.end_of`).
        """
        return self.used_at + (ENDED_S if self.ended else self.identity.ttl_s)


@dataclass(slots=True)
class SessionRecord:
    """A session whole: metadata and state, the state as one row (models/row.py)."""

    meta: SessionMeta
    state: bytes
