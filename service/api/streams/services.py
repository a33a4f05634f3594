"""What every stream works with: the parts of the service behind it, and the bounds on it."""

from dataclasses import dataclass

from carousel.service.api.encoding.codec import Codecs
from carousel.service.api.http.authenticator import Authenticator
from carousel.service.api.http.lifecycle import Lifecycle
from carousel.service.api.http.memory_budget import MemoryBudget
from carousel.service.api.http.traffic import Traffic
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.http.unread import Unread
from carousel.service.sessions.sessions import Sessions


@dataclass(slots=True, kw_only=True)
class StreamServices:
    """One for all streams.

    `client_timeout_s`: how long a client may leave unread what it is sent, or unanswered a ping or
    a close. `draining_timeout_s`: the first of these once the service refuses requests, for its end
    waits for such a client.
    """

    sessions: Sessions
    codecs: Codecs
    transcoder: Transcoder
    authenticator: Authenticator
    lifecycle: Lifecycle
    traffic: Traffic
    budget: MemoryBudget
    unread: Unread
    deadline_s: float
    max_ttl_s: float
    max_message_bytes: int
    client_timeout_s: float = 20.0
    draining_timeout_s: float = 2.0
