"""The errors of an operation, as the schema shows them: by status, with their codes."""

from carousel.service import errors
from carousel.service.api.http.problem import CONTENT_TYPE, Problem
from carousel.service.api.openapi.nodes import Node, ref
from carousel.service.errors import CarouselError

Responses = dict[int | str, Node]

_ALWAYS = (errors.Unauthorized, errors.Forbidden, errors.Draining)
_PROBLEM: Node = {CONTENT_TYPE: {"schema": ref(Problem)}}

# What many operations refuse for: a body, arrays in it, a run, a session, a state, a step.
INPUT = (
    errors.Malformed, errors.PayloadTooLarge, errors.UnsupportedMediaType, errors.InvalidRequest,
    errors.QueueFull, errors.DeadlineExceeded,
)  # fmt: skip
ARRAYS = (
    *INPUT, errors.NotAcceptable, errors.ShapeMismatch, errors.OutOfRange, errors.NonFiniteInput,
)  # fmt: skip
RUN = (
    errors.SequenceTooLong, errors.NonFiniteState, errors.BackendFailed, errors.QueueFull,
    errors.ModelUnavailable, errors.DeadlineExceeded,
)  # fmt: skip
FOUND = (
    errors.SessionNotFound, errors.SessionExpired, errors.ModelMismatch, errors.StateCorrupt,
    errors.StoreUnavailable, errors.InvalidRequest, errors.DeadlineExceeded,
)  # fmt: skip
STATE = (errors.ShapeMismatch, errors.NonFiniteState)
STEP = (*ARRAYS, *RUN, *FOUND, errors.PositionConflict, errors.ReplyNotKept)


def refusals(*kinds: type[CarouselError], content: Node = _PROBLEM) -> Responses:
    """The responses of an operation that refuses with these, and with what all but probes do."""
    codes: dict[int, list[str]] = {}
    for each in dict.fromkeys(_ALWAYS + kinds):
        codes.setdefault(each.status, []).append(f"`{each.code}`")
    return {
        status: {"description": ", ".join(each), "content": content}
        for status, each in codes.items()
    }
