"""Errors as clients see them: `application/problem+json` (RFC 9457)."""

import logging
import secrets

import orjson
from pydantic import BaseModel, ConfigDict, Field

from carousel.service.api.http.answer import Answer, Header
from carousel.service.errors import (
    CarouselError,
    MethodNotAllowed,
    Unauthorized,
    forget_frames,
)

log = logging.getLogger("carousel.http")

CONTENT_TYPE = "application/problem+json"

_HEADER: Header = (b"content-type", CONTENT_TYPE.encode())

# A detail repeats what was given, and that may be as long as a body.
_MAX_DETAIL_CHARACTERS = 1000


class Problem(BaseModel):
    """An error (RFC 9457). `code` is for programs, `detail` and `hint` are for people."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    advanced: bool | str | None = Field(
        None, description="Of steps: whether the state moved; `unknown` if the store's answer is."
    )


def problem_members(error: CarouselError, *, is_step: bool) -> dict[str, object]:
    """The members of the problem; those of a step say whether the state may have moved.

    An error that is told is done with, and lets go of what it came through.
    """
    forget_frames(error)
    members: dict[str, object] = {
        "type": f"urn:carousel:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": _shortened(error.detail),
    }
    if error.hint is not None:
        members["hint"] = error.hint
    if is_step:
        members["advanced"] = error.advanced
    return members | error.fields


def problem(
    error: CarouselError, *, is_step: bool = False, request_id: str | None = None
) -> Answer:
    """The answer to a request that met `error`."""
    headers = [_HEADER]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", str(error.fields["allow"]).encode("latin-1")))
    members = problem_members(error, is_step=is_step)
    if request_id is not None:
        members["request_id"] = request_id
    return Answer(error.status, orjson.dumps(members), headers)


def unexpected(error: BaseException, *, where: str, request_id: str | None = None) -> CarouselError:
    """What the client is told of a defect of ours: an id that the log knows, no more."""
    request_id = request_id or secrets.token_hex(8)
    log.error("request %s at %s failed", request_id, where, exc_info=error)
    hidden = CarouselError(
        "the service failed on this request; its log says more under this id",
        request_id=request_id,
    )
    hidden.advanced = "unknown"
    return hidden


def _shortened(detail: str) -> str:
    if len(detail) <= _MAX_DETAIL_CHARACTERS:
        return detail
    half = _MAX_DETAIL_CHARACTERS // 2
    return f"{detail[:half]} ... {detail[-half:]}"
