"""`/v1/sessions`: open, list, show, fork, reset, delete. Steps and states have their own files."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query, Request, Response

from carousel.models.row import Array
from carousel.service.api.encoding.document import may_hold_bools
from carousel.service.api.http.dependencies import Deadline, Dependencies, Deps, Tenant
from carousel.service.api.http.responses import json_response
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import body
from carousel.service.api.openapi.refusals import FOUND, INPUT, STATE, refusals
from carousel.service.api.v1.control_bodies import (
    Empty,
    ForkSession,
    OpenSession,
    PageQuery,
    read_body,
)
from carousel.service.api.v1.media.choose import JSON, media_of
from carousel.service.api.v1.media.media import Media
from carousel.service.api.v1.views import ForkView, SessionList, SessionView, show_session
from carousel.service.errors import (
    InvalidRequest,
    ModelNotFound,
    NotStreamable,
    PreconditionFailed,
    SessionExists,
    SessionLimit,
    StoreUnavailable,
    UnsupportedMediaType,
)

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

_Read = TypeVar("_Read")
_RESERVED = "v2."

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="ETag of the state as the client knows it.")
]


@router.post(
    "",
    status_code=201,
    response_model=SessionView,
    responses=refusals(
        *INPUT, *STATE, ModelNotFound, SessionExists, NotStreamable, SessionLimit, StoreUnavailable
    )
    | {201: {"headers": {"Location": {"schema": {"type": "string"}}}}},
    openapi_extra=body(OpenSession, examples.OPEN),
    summary="Open a session",
)
async def open_session(request: Request, deps: Deps, tenant: Tenant) -> Response:
    """At the state that is sent, or at the model's initial values.

    States that are `fixed` must be sent, if the model has any; others may be left out then.
    """
    body = await _json_body(request)
    asked, state = await decoded(deps, body, lambda: _read_open(body, deps))
    try:
        info = await deps.sessions.open(
            tenant,
            model=asked.model,
            version=asked.version,
            session_id=asked.session_id,
            state=state,
            position=asked.position,
            ttl_s=asked.ttl_s,
        )
    except SessionExists as error:
        raise _shown(error) from None
    headers = {"location": f"/v1/sessions/{info.session_id}"}
    return json_response(show_session(info), 201, headers)


@router.get(
    "",
    response_model=SessionList,
    responses=refusals(InvalidRequest, StoreUnavailable),
    summary="List live sessions",
)
async def list_sessions(
    deps: Deps, tenant: Tenant, query: Annotated[PageQuery, Query()]
) -> Response:
    """In order of id, page by page."""
    page = await deps.sessions.page(tenant, model=query.model, limit=query.limit, after=query.after)
    return json_response({"sessions": list(map(show_session, page.sessions)), "next": page.next})


@router.get(
    "/{session_id}",
    response_model=SessionView,
    responses=refusals(*FOUND),
    summary="Show a session",
)
async def get_session(deps: Deps, tenant: Tenant, session_id: str, deadline: Deadline) -> Response:
    """Where it stands and until when it lives."""
    info = await deps.sessions.info(tenant, session_id, deadline=deadline)
    return json_response(show_session(info))


@router.post(
    "/{session_id}/fork",
    status_code=201,
    response_model=ForkView,
    responses=refusals(*INPUT, *FOUND, SessionExists, SessionLimit),
    openapi_extra=body(ForkSession, examples.FORK, required=False),
    summary="Copy a session",
)
async def fork_session(
    request: Request, deps: Deps, tenant: Tenant, session_id: str, deadline: Deadline
) -> Response:
    """State and position go into new sessions, all or none; recorded replies stay behind."""
    body = await _json_body(request)
    asked = await decoded(deps, body, lambda: read_body(ForkSession, body))
    _check_fork(asked)
    _check_ttl(asked.ttl_s, deps)
    try:
        made = await deps.sessions.fork(
            tenant,
            session_id,
            session_ids=asked.session_ids,
            count=asked.count,
            ttl_s=asked.ttl_s,
            deadline=deadline,
        )
    except SessionExists as error:
        raise _shown(error) from None
    shown = list(map(show_session, made.sessions))
    return json_response({"position": made.position, "sessions": shown}, 201)


@router.post(
    "/{session_id}/reset",
    response_model=SessionView,
    responses=refusals(*FOUND, PreconditionFailed),
    summary="Start a session anew",
)
async def reset_session(
    request: Request,
    deps: Deps,
    tenant: Tenant,
    session_id: str,
    deadline: Deadline,
    if_match: IfMatch = None,
) -> Response:
    """Back to position 0 and the model's initial values; recorded replies are forgotten.

    States that are `fixed` stay as they are.
    """
    body = await request.body()
    await decoded(deps, body, lambda: read_body(Empty, body))
    info = await deps.sessions.reset(tenant, session_id, if_match=if_match, deadline=deadline)
    return json_response(show_session(info))


@router.delete(
    "/{session_id}",
    status_code=204,
    responses=refusals(*FOUND, PreconditionFailed),
    summary="End a session",
)
async def delete_session(
    deps: Deps, tenant: Tenant, session_id: str, deadline: Deadline, if_match: IfMatch = None
) -> Response:
    """Its state is gone, and its id may be opened again."""
    await deps.sessions.delete(tenant, session_id, if_match=if_match, deadline=deadline)
    return Response(status_code=204)


async def decoded(deps: Dependencies, text: bytes, call: Callable[[], _Read]) -> _Read:
    """What is read of JSON, beside the loop where that takes a while."""
    return await deps.transcoder.read(
        text,
        time.monotonic() + deps.deadline_s,
        call,
        lambda: deps.codecs.largest_of(deps.catalog.all()),
    )


def _read_open(body: bytes, deps: Dependencies) -> tuple[OpenSession, Mapping[str, Array] | None]:
    """What is asked for, and the state that the session shall begin at."""
    asked = read_body(OpenSession, body)
    _check_id(asked.session_id, "session_id")
    _check_ttl(asked.ttl_s, deps)
    if asked.state is None:
        return asked, None
    states = deps.codecs.of(deps.catalog.get(asked.model, asked.version)).states
    bools = may_hold_bools(body)
    return asked, states.read_json(asked.state, "state", bools=bools, whole=False)


def body_media(request: Request) -> Media:
    content_type = request.headers.get("content-type")
    return media_of(None if content_type is None else content_type.encode("latin-1"))


async def _json_body(request: Request) -> bytes:
    media = body_media(request)
    if media is not JSON:
        raise UnsupportedMediaType(f"Content-Type: {media.name} given; expected {JSON.name}")
    return await request.body()


def _check_id(session_id: str | None, where: str) -> None:
    if session_id is not None and session_id.startswith(_RESERVED):
        raise InvalidRequest(
            f"{where}: {session_id!r} given; ids that begin with {_RESERVED} are the server's"
        )


def _check_ttl(ttl_s: float | None, deps: Dependencies) -> None:
    if ttl_s is not None and ttl_s > deps.max_ttl_s:
        raise InvalidRequest(
            f"ttl_s: {ttl_s:.15g} given; expected 1 to {deps.max_ttl_s:.15g} seconds"
        )


def _check_fork(asked: ForkSession) -> None:
    ids = asked.session_ids or []
    if ids and asked.count is not None:
        raise InvalidRequest("count: given together with session_ids; expected one of them")
    for index, each in enumerate(ids):
        _check_id(each, f"session_ids[{index}]")
    if len(set(ids)) < len(ids):
        twice = next(each for each in ids if ids.count(each) > 1)
        raise InvalidRequest(f"session_ids: {twice!r} given twice; expected each once")


def _shown(error: SessionExists) -> SessionExists:
    """The error with its sessions as the rest of the API shows them."""
    fields: dict[str, Any] = dict(error.fields)
    if "session" in fields:
        fields["session"] = show_session(fields["session"])
    if "sessions" in fields:
        fields["sessions"] = list(map(show_session, fields["sessions"]))
    return SessionExists(error.detail, hint=error.hint, **fields)
