"""Every error of a call, by the server's own codes, and those that only a client can meet.

CarouselError
  Malformed 400: NotText  Unauthorized 401  Forbidden 403
  NotFound 404:  ModelNotFound, SessionNotFound     MethodNotAllowed 405  NotAcceptable 406
  Conflict 409:  PositionConflict, ReplyNotKept, SessionExists, ModelMismatch, NotStreamable
  SessionExpired 410  PreconditionFailed 412  PayloadTooLarge 413  UnsupportedMediaType 415
  InvalidRequest 422: ShapeMismatch, OutOfRange, NonFiniteInput, NonFiniteState, SequenceTooLong
  TooMany 429:  SessionLimit, RateLimited
  BackendFailed 500, StateCorrupt 500
  Unavailable 503: QueueFull, StoreUnavailable, ModelUnavailable, Draining
  DeadlineExceeded 504
  of the client: ConnectionLost, TakenOver, BadAnswer

What a client can see for itself, as a shape that does not fit, it raises without asking the server.
"""

from collections.abc import Mapping
from typing import Any


class CarouselError(Exception):
    """A call that failed. `status` and `code` are the server's, 0 and a word of the client's own
    where no answer came; `detail` says what was wrong and `hint` how to mend it.

    `advanced`: whether the session may have moved: False, or "unknown"; None where nothing is said.
    `fields`: the other members of the server's answer. `retry_after_s`: when to ask again.
    `after_loss`: an attempt before this got no answer of the server's, and may have been done.
    `is_foreign`: what answered is no Carousel.
    """

    status = 0
    code = "unknown"
    is_passing = False  # whether the same request may be sent again, and do better
    is_foreign = False

    def __init__(
        self,
        detail: str,
        *,
        hint: str | None = None,
        advanced: object = None,
        fields: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.advanced = advanced
        self.fields: Mapping[str, Any] = fields if fields is not None else {}
        self.retry_after_s = retry_after_s
        self.after_loss = False

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.code}: {self.detail}{hint}"


class Malformed(CarouselError):
    """The request is not HTTP/1.1, or its body not JSON, not UTF-8 or not safetensors."""

    status, code = 400, "malformed"


class NotText(Malformed):
    """It is not UTF-8."""


class Unauthorized(CarouselError):
    """No API key, or another one."""

    status, code = 401, "unauthorized"


class Forbidden(CarouselError):
    """The key does not open this."""

    status, code = 403, "forbidden"


class NotFound(CarouselError):
    """There is nothing at this path."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """No such model, or no such version of it."""

    code = "model_not_found"


class SessionNotFound(NotFound):
    """No such session: never there, or deleted."""

    code = "session_not_found"


class MethodNotAllowed(CarouselError):
    """The path exists, with other methods."""

    status, code = 405, "method_not_allowed"


class NotAcceptable(CarouselError):
    """The answer cannot be given in the encoding that was asked for."""

    status, code = 406, "not_acceptable"


class Conflict(CarouselError):
    """The request does not fit the state of things; `position` is where the session stands, where
    the server says so.
    """

    status, code = 409, "conflict"

    @property
    def position(self) -> int | None:
        """Where the session stands."""
        found = self.fields.get("position")
        return found if isinstance(found, int) else None


class PositionConflict(Conflict):
    """The session stands elsewhere: another client moved it, or the step differs from the one that
    was sent from here before.
    """

    code = "position_conflict"


class ReplyNotKept(Conflict):
    """The step was done, its answer was lost on its way, and the server did not keep it."""

    code = "reply_not_kept"


class SessionExists(Conflict):
    """The id is taken."""

    code = "session_exists"


class ModelMismatch(Conflict):
    """The session's state belongs to weights that are no longer served."""

    code = "model_mismatch"


class NotStreamable(Conflict):
    """The model takes whole sequences only."""

    code = "not_streamable"


class SessionExpired(CarouselError):
    """The session was idle for longer than its time to live."""

    status, code = 410, "session_expired"


class PreconditionFailed(CarouselError):
    """The session is not at the revision that was named."""

    status, code = 412, "precondition_failed"


class PayloadTooLarge(CarouselError):
    """The request is larger than the server's limit."""

    status, code = 413, "payload_too_large"


class UnsupportedMediaType(CarouselError):
    """The server does not read this encoding here."""

    status, code = 415, "unsupported_media_type"


class InvalidRequest(CarouselError):
    """A field is missing, unknown or of the wrong type."""

    status, code = 422, "invalid_request"


class ShapeMismatch(InvalidRequest):
    """An array that does not fit the model."""

    code = "shape_mismatch"


class OutOfRange(InvalidRequest):
    """A token id outside the vocabulary, or an integer beyond its dtype."""

    code = "out_of_range"


class NonFiniteInput(InvalidRequest):
    """NaN, an infinity, or a number that overflows the input's dtype."""

    code = "non_finite_input"


class NonFiniteState(InvalidRequest):
    """The step would leave the session with a state that is not finite."""

    code = "non_finite_state"


class SequenceTooLong(InvalidRequest):
    """More time steps than one request may have."""

    code = "sequence_too_long"


class TooMany(CarouselError):
    """More than the server takes from its clients."""

    status, code = 429, "too_many"
    is_passing = True


class SessionLimit(TooMany):
    """The server holds as many sessions as it may."""

    code = "session_limit"


class RateLimited(TooMany):
    """More requests than this client may send."""

    code = "rate_limited"


class BackendFailed(CarouselError):
    """The model failed on these inputs."""

    status, code = 500, "backend_failed"


class StateCorrupt(CarouselError):
    """The stored state does not pass its checksum."""

    status, code = 500, "state_corrupt"


class Unavailable(CarouselError):
    """Not now."""

    status, code = 503, "unavailable"
    is_passing = True


class QueueFull(Unavailable):
    """Too many requests wait for the model."""

    code = "queue_full"


class StoreUnavailable(Unavailable):
    """The session store failed; whether the step was written is not known."""

    code = "store_unavailable"


class ModelUnavailable(Unavailable):
    """The model is being loaded, or its device failed."""

    code = "model_unavailable"


class Draining(Unavailable):
    """The server is shutting down."""

    code = "draining"


class DeadlineExceeded(CarouselError):
    """The request did not start in time."""

    status, code = 504, "deadline_exceeded"
    is_passing = True


class ConnectionLost(CarouselError):
    """No answer came. `unreached`: there was no connection; `timed_out`: it was silent too long."""

    code = "connection_lost"
    is_passing = True
    timed_out = unreached = False


class TakenOver(CarouselError):
    """Another client streams to the session now."""

    code = "taken_over"


class BadAnswer(CarouselError):
    """What answered does not speak this protocol."""

    code = "bad_answer"
    is_foreign = True
