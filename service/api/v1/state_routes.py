"""`/v1/sessions/{id}/state`: a session's state, read and written."""

from fastapi import APIRouter, Request, Response

from carousel.service.api.http.dependencies import Deadline, Deps, Tenant
from carousel.service.api.http.responses import json_response
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import BINARY, POSITION_HEADER, body
from carousel.service.api.openapi.refusals import FOUND, INPUT, STATE, refusals
from carousel.service.api.v1.control_bodies import WriteState
from carousel.service.api.v1.media.choose import JSON, SAFETENSORS, media_for
from carousel.service.api.v1.media.media import Media
from carousel.service.api.v1.session_routes import IfMatch, body_media, decoded
from carousel.service.api.v1.views import SessionView, StateView, show_session
from carousel.service.errors import NotAcceptable, PreconditionFailed, UnsupportedMediaType

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


@router.get(
    "/{session_id}/state",
    response_model=StateView,
    responses=refusals(*FOUND, NotAcceptable)
    | {
        200: {
            "headers": {
                "ETag": {"schema": {"type": "string"}},
                "Carousel-Position": POSITION_HEADER,
            },
            "content": {SAFETENSORS.name: BINARY},
        }
    },
    summary="Read a session's state",
)
async def read_state(
    request: Request, deps: Deps, tenant: Tenant, session_id: str, deadline: Deadline
) -> Response:
    """By name, without the batch axis; the ETag names the revision that was read."""
    media = _media_for(request)
    read = await deps.sessions.read_state(tenant, session_id, deadline=deadline)
    headers = {"etag": read.etag, "carousel-position": str(read.position)}
    return Response(media.write_state(read), headers=headers, media_type=media.name)


@router.put(
    "/{session_id}/state",
    response_model=SessionView,
    responses=refusals(*INPUT, *FOUND, *STATE, PreconditionFailed),
    openapi_extra=body(WriteState, examples.WRITE_STATE, SAFETENSORS.name),
    summary="Set a session's state",
)
async def write_state(
    request: Request,
    deps: Deps,
    tenant: Tenant,
    session_id: str,
    deadline: Deadline,
    if_match: IfMatch = None,
) -> Response:
    """And where it stands. The replies recorded before are forgotten."""
    media = body_media(request)
    if media.is_single:
        raise UnsupportedMediaType(
            f"Content-Type: {media.name} given; expected {JSON.name} or {SAFETENSORS.name}"
        )
    session = await deps.sessions.find(tenant, session_id)
    codec = deps.codecs.of(session.loaded)
    body = await request.body()
    text = body if media is JSON else b""
    asked = await decoded(deps, text, lambda: media.read_state(body, request.headers, codec))
    info = await deps.sessions.write_state(
        tenant, session_id, asked.state, asked.position, if_match=if_match, deadline=deadline
    )
    return json_response(show_session(info))


def _media_for(request: Request) -> Media:
    accept = request.headers.get("accept")
    media = media_for(None if accept is None else accept.encode("latin-1"), JSON)
    if media.is_single:
        raise NotAcceptable(
            "raw bytes and NumPy files hold one tensor, and a state has names",
            hint=f"send Accept: {SAFETENSORS.name}",
        )
    return media
