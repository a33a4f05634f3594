"""`/v1/sessions/{id}/state`: a session's state, read and written."""

from fastapi import APIRouter, Request, Response

from carousel.service.api.encoding.arrays import arrays_json
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.document import may_hold_bools
from carousel.service.api.encoding.media import Media, media_for
from carousel.service.api.encoding.outputs import state_names
from carousel.service.api.encoding.tensorfile import parse_tensors, write_tensors
from carousel.service.api.http.dependencies import Deadline, Deps, Tenant
from carousel.service.api.http.exchange import read_position
from carousel.service.api.http.responses import json_response
from carousel.service.api.v1.control_bodies import MAX_PLACE, WriteState, read_body
from carousel.service.api.v1.session_routes import IfMatch, body_media
from carousel.service.api.v1.views import SessionView, StateView, show_session
from carousel.service.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


@router.get("/{session_id}/state", response_model=StateView, summary="Read a session's state")
async def read_state(
    request: Request, deps: Deps, tenant: Tenant, session_id: str, deadline: Deadline
) -> Response:
    """By name, without the batch axis; the ETag names the revision that was read."""
    media = _media_for(request)
    read = await deps.sessions.read_state(tenant, session_id, deadline=deadline)
    headers = {"etag": read.etag, "carousel-position": str(read.position)}
    if media is Media.JSON:
        body = b'{"position":%d,"state":%b}' % (read.position, arrays_json(read.state))
    else:
        body = write_tensors(state_names(read.state))
    return Response(body, headers=headers, media_type=media.value)


@router.put("/{session_id}/state", response_model=SessionView, summary="Set a session's state")
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
            f"Content-Type: {media.value} given; expected {Media.JSON.value} or "
            f"{Media.SAFETENSORS.value}"
        )
    session = await deps.sessions.find(tenant, session_id)
    codec = deps.codecs.of(session.loaded)
    body = await request.body()
    asked = _read_json(body, codec) if media is Media.JSON else _read(body, codec, request)
    info = await deps.sessions.write_state(
        tenant,
        session_id,
        asked.state,
        asked.position,
        if_match=if_match,
        deadline=deadline,
    )
    return json_response(show_session(info))


def _read_json(body: bytes, codec: Codec) -> WriteState:
    asked = read_body(WriteState, body)
    asked.state = dict(codec.states.read_json(asked.state, "state", bools=may_hold_bools(body)))
    return asked


def _read(body: bytes, codec: Codec, request: Request) -> WriteState:
    position = request.headers.get("carousel-position")
    if position is None:
        raise InvalidRequest("Carousel-Position: nothing given; expected where the state stands")
    stands = read_position(position.encode("latin-1"))
    if stands > MAX_PLACE:
        raise InvalidRequest(
            f"Carousel-Position: {stands} given; a session may be put at {MAX_PLACE} at most"
        )
    return WriteState(state=dict(codec.states.read_tensors(parse_tensors(body))), position=stands)


def _media_for(request: Request) -> Media:
    accept = request.headers.get("accept")
    media = media_for(None if accept is None else accept.encode("latin-1"), Media.JSON)
    if media.is_single:
        raise NotAcceptable(
            "raw bytes and NumPy files hold one tensor, and a state has names",
            hint=f"send Accept: {Media.SAFETENSORS.value}",
        )
    return media
