"""Errors as the Open Inference Protocol has them: `{"error": "text"}`, with the right status."""

import orjson

from carousel.service.api.http.answer import Answer
from carousel.service.api.http.problem import problem, problem_members
from carousel.service.api.openapi.nodes import Node, ref
from carousel.service.api.openapi.refusals import Responses, refusals
from carousel.service.api.v2.bodies import OipError
from carousel.service.errors import CarouselError

_PREFIX = "/v2/"
_CONTENT: Node = {"application/json": {"schema": ref(OipError)}}


def is_oip(path: str) -> bool:
    """Whether a path is one of the protocol's."""
    return path.startswith(_PREFIX) or path == _PREFIX[:-1]


def oip_refusals(*kinds: type[CarouselError]) -> Responses:
    """As `refusals`, in the form of the protocol."""
    return refusals(*kinds, content=_CONTENT)


def error_answer(
    path: str, error: CarouselError, request_id: str, *, is_step: bool = False
) -> Answer:
    """The answer to a request that met `error`, in the form of the protocol it was sent by."""
    if is_oip(path):
        return fault(error)
    return problem(error, is_step=is_step, request_id=request_id)


def fault(error: CarouselError) -> Answer:
    """The protocol's answer; the text begins with the error's code, which is for programs."""
    told = problem_members(error, is_step=True)
    text = f"{told['code']}: {told['detail']}"
    if told["advanced"] == "unknown":
        text += "; whether the state moved is not known"
    if error.hint is not None:
        text += f" ({error.hint})"
    headers = problem(error).headers[1:]
    body = orjson.dumps({"error": text})
    return Answer(error.status, body, [(b"content-type", b"application/json"), *headers])
