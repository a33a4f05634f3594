"""What the schema says beyond FastAPI's knowledge: bodies that are read by hand, and the errors of
each route.
"""

from dataclasses import dataclass

from carousel.service import errors
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import POSITION_HEADER, Node, encodings
from carousel.service.api.v1.bulk import BULK_PATH
from carousel.service.api.v1.control_bodies import ForkSession, OpenSession, WriteState
from carousel.service.api.v1.infer import INFER_PATH, INFER_VERSION_PATH
from carousel.service.api.v1.media.choose import SAFETENSORS
from carousel.service.api.v1.step import STEP_PATH
from carousel.service.api.v1.views import StateView
from carousel.service.api.v2.infer import OIP_INFER_PATH, OIP_INFER_VERSION_PATH
from carousel.service.errors import CarouselError

_Errors = tuple[type[CarouselError], ...]

_SESSION = "/v1/sessions/{session_id}"
_INPUT = (
    errors.Malformed, errors.PayloadTooLarge, errors.UnsupportedMediaType, errors.InvalidRequest,
)  # fmt: skip
_ARRAYS = (
    *_INPUT, errors.NotAcceptable, errors.ShapeMismatch, errors.OutOfRange, errors.NonFiniteInput,
)  # fmt: skip
_RUN = (
    errors.SequenceTooLong, errors.NonFiniteState, errors.BackendFailed, errors.QueueFull,
    errors.ModelUnavailable, errors.DeadlineExceeded,
)  # fmt: skip
_FOUND = (errors.SessionNotFound, errors.SessionExpired, errors.ModelMismatch, errors.StateCorrupt)
_STORE = (errors.StoreUnavailable,)
_STEP = (*_ARRAYS, *_RUN, *_FOUND, *_STORE, errors.PositionConflict, errors.ReplyNotKept)
_OIP = (*_STEP, errors.ModelNotFound, errors.NotStreamable, errors.SessionLimit)
ALWAYS: _Errors = (errors.Unauthorized, errors.Forbidden, errors.Draining)


@dataclass(frozen=True, slots=True)
class Addition:
    """What is added to one operation: its errors, its body, more about its answer."""

    errors: _Errors = ()
    body: Node | None = None
    answer: Node | None = None


ADDITIONS: dict[tuple[str, str], Addition] = {
    ("post", STEP_PATH): Addition(_STEP),
    ("post", BULK_PATH): Addition(
        (*_INPUT, errors.NotAcceptable, errors.SequenceTooLong, errors.DeadlineExceeded)
    ),
    ("post", OIP_INFER_PATH): Addition(_OIP),
    ("post", OIP_INFER_VERSION_PATH): Addition(_OIP),
    ("get", "/v2/models/{model}"): Addition((errors.ModelNotFound,)),
    ("get", "/v2/models/{model}/versions/{version}"): Addition((errors.ModelNotFound,)),
    ("get", "/v2/models/{model}/ready"): Addition((errors.ModelNotFound,)),
    ("get", "/v2/models/{model}/versions/{version}/ready"): Addition((errors.ModelNotFound,)),
    ("post", INFER_PATH): Addition((*_ARRAYS, *_RUN, errors.ModelNotFound)),
    ("post", INFER_VERSION_PATH): Addition((*_ARRAYS, *_RUN, errors.ModelNotFound)),
    ("get", "/v1/models/{model}"): Addition((errors.ModelNotFound,)),
    ("get", "/v1/models/{model}/versions/{version}"): Addition((errors.ModelNotFound,)),
    ("get", "/v1/sessions"): Addition((errors.InvalidRequest, *_STORE)),
    ("post", "/v1/sessions"): Addition(
        (
            *_INPUT,
            errors.ModelNotFound,
            errors.SessionExists,
            errors.NotStreamable,
            errors.ShapeMismatch,
            errors.NonFiniteState,
            errors.SessionLimit,
            *_STORE,
        ),
        {"required": True, "content": encodings(OpenSession, examples.OPEN)},
        {"headers": {"Location": {"schema": {"type": "string"}}}},
    ),
    ("get", _SESSION): Addition((*_FOUND, *_STORE)),
    ("delete", _SESSION): Addition((*_FOUND, *_STORE, errors.PreconditionFailed)),
    ("post", _SESSION + "/reset"): Addition((*_FOUND, *_STORE, errors.PreconditionFailed)),
    ("post", _SESSION + "/fork"): Addition(
        (*_INPUT, *_FOUND, *_STORE, errors.SessionExists, errors.SessionLimit),
        {"content": encodings(ForkSession, examples.FORK)},
    ),
    ("get", _SESSION + "/state"): Addition(
        (*_FOUND, *_STORE, errors.NotAcceptable),
        None,
        {
            "headers": {
                "ETag": {"schema": {"type": "string"}},
                "Carousel-Position": POSITION_HEADER,
            },
            "content": encodings(StateView, None, SAFETENSORS),
        },
    ),
    ("put", _SESSION + "/state"): Addition(
        (
            *_INPUT,
            *_FOUND,
            *_STORE,
            errors.PreconditionFailed,
            errors.ShapeMismatch,
            errors.NonFiniteState,
        ),
        {
            "required": True,
            "content": encodings(WriteState, examples.WRITE_STATE, SAFETENSORS),
        },
    ),
}
