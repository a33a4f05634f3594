"""Every error that a client, a file or a setting can cause; status and code are what clients see.

CarouselError
  Malformed 400: NotText  Unauthorized 401  Forbidden 403
  NotFound 404:  ModelNotFound, SessionNotFound     MethodNotAllowed 405  NotAcceptable 406
  Conflict 409:  PositionConflict, ReplyNotKept, SessionExists, ModelMismatch, NotStreamable
  SessionExpired 410  PreconditionFailed 412  PayloadTooLarge 413  UnsupportedMediaType 415
  InvalidRequest 422: ShapeMismatch, OutOfRange, NonFiniteInput, NonFiniteState, SequenceTooLong
  SessionLimit 429
  BackendFailed 500, StateCorrupt 500
  Unavailable 503: QueueFull, StoreUnavailable, ModelUnavailable, Draining
  DeadlineExceeded 504
SettingError: a bad value at start-up; the process ends with exit code 3
"""

from typing import Literal

Field = str | int | float | bool | list[object] | dict[str, object]


class CarouselError(Exception):
    """An error with an answer: `detail` for the client, `hint` how to mend it, `fields` to add.

    `advanced` says of a step whether the state may have moved: never, unless the store's answer was
    lost. `retry_after_s` becomes the header Retry-After.
    """

    status = 500
    code = "internal"
    title = "Internal error"
    advanced: bool | Literal["unknown"] = False
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, hint: str | None = None, **fields: Field) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.fields = fields


class Malformed(CarouselError):
    """The request is not HTTP/1.1, or its body not JSON, not UTF-8 or not safetensors."""

    status, code, title = 400, "malformed", "Malformed request"


class NotText(Malformed):
    """It is not UTF-8, as all JSON is; a stream cannot go on after it."""


class Unauthorized(CarouselError):
    """No API key, or another one."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(CarouselError):
    """The key does not open this."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(CarouselError):
    """There is nothing at this path."""

    status, code, title = 404, "not_found", "Not found"


class ModelNotFound(NotFound):
    """No such model, or no such version of it."""

    code, title = "model_not_found", "Model not found"


class SessionNotFound(NotFound):
    """No such session: never there, deleted, or another tenant's."""

    code, title = "session_not_found", "Session not found"


class MethodNotAllowed(CarouselError):
    """The path exists, with other methods."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class NotAcceptable(CarouselError):
    """The answer cannot be given in any encoding the client accepts."""

    status, code, title = 406, "not_acceptable", "Not acceptable"


class Conflict(CarouselError):
    """The request does not fit the state of things; its subclasses say how."""

    status, code, title = 409, "conflict", "Conflict"


class PositionConflict(Conflict):
    """The step names a position that is not the session's; carries `position`."""

    code, title = "position_conflict", "Position conflict"


class ReplyNotKept(Conflict):
    """The step was done, and its reply was not kept; carries `position`."""

    code, title = "reply_not_kept", "Reply not kept"


class SessionExists(Conflict):
    """The id is taken; carries `session` (open) or `sessions` (fork)."""

    code, title = "session_exists", "Session exists"


class ModelMismatch(Conflict):
    """The session's state belongs to weights that are no longer served."""

    code, title = "model_mismatch", "Model mismatch"


class NotStreamable(Conflict):
    """The model takes whole sequences only; carries `reason`."""

    code, title = "not_streamable", "Not streamable"


class SessionExpired(CarouselError):
    """The session was idle for longer than its time to live."""

    status, code, title = 410, "session_expired", "Session expired"


class PreconditionFailed(CarouselError):
    """If-Match names another revision than the session's."""

    status, code, title = 412, "precondition_failed", "Precondition failed"


class PayloadTooLarge(CarouselError):
    """The body is larger than the limit."""

    status, code, title = 413, "payload_too_large", "Payload too large"


class UnsupportedMediaType(CarouselError):
    """The body's content type is not one this route reads."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class InvalidRequest(CarouselError):
    """The body could be read, and a field of it is missing, unknown or of the wrong type."""

    status, code, title = 422, "invalid_request", "Invalid request"


class ShapeMismatch(InvalidRequest):
    """An array or a byte count that does not fit the model."""

    code, title = "shape_mismatch", "Shape mismatch"


class OutOfRange(InvalidRequest):
    """A token id outside the vocabulary, or an integer beyond its dtype."""

    code, title = "out_of_range", "Out of range"


class NonFiniteInput(InvalidRequest):
    """NaN, an infinity, or a number that overflows the input's dtype."""

    code, title = "non_finite_input", "Non-finite input"


class NonFiniteState(InvalidRequest):
    """The step would leave the session with a state that is not finite."""

    code, title = "non_finite_state", "Non-finite state"


class SequenceTooLong(InvalidRequest):
    """More time steps than one request may have."""

    code, title = "sequence_too_long", "Sequence too long"


class SessionLimit(CarouselError):
    """The store holds as many sessions as it may."""

    status, code, title = 429, "session_limit", "Session limit reached"
    retry_after_s = 10


class BackendFailed(CarouselError):
    """The program failed on this row."""

    status, code, title = 500, "backend_failed", "Backend failed"


class StateCorrupt(CarouselError):
    """The stored state does not pass its checksum."""

    status, code, title = 500, "state_corrupt", "State corrupt"


class Unavailable(CarouselError):
    """Not now; again after Retry-After."""

    status, code, title = 503, "unavailable", "Unavailable"
    retry_after_s = 1


class QueueFull(Unavailable):
    """The model's queue is full, in requests or in bytes."""

    code, title = "queue_full", "Queue full"


class StoreUnavailable(Unavailable):
    """The session store failed; whether the step was written is not known."""

    code, title = "store_unavailable", "Store unavailable"
    advanced: bool | Literal["unknown"] = "unknown"


class ModelUnavailable(Unavailable):
    """The model's device failed."""

    code, title = "model_unavailable", "Model unavailable"


class Draining(Unavailable):
    """The server is shutting down and takes nothing new."""

    code, title = "draining", "Draining"


class DeadlineExceeded(CarouselError):
    """The deadline passed before the request started."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"


class SettingError(Exception):
    """A setting that cannot be used: its name, what was given, what was expected."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting


def forget_frames(error: BaseException) -> None:
    """Let go of what an error came through.

    Frames lead back to the error where one of them holds it, or what it was handed on by: a
    future, an entry, a task. Such rings would be the garbage collector's, which comes seldom.
    """
    error.__traceback__ = None
    for earlier in (error.__cause__, error.__context__):
        if earlier is not None:
            forget_frames(earlier)
