"""What a client asks for when it opens a stream: whose, of what, and from where on."""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from carousel.service.errors import InvalidRequest

SUBPROTOCOL = "carousel.v1"
# A browser cannot set headers, so the key comes as a subprotocol that the server never picks.
_BEARER = "bearer."
_OFFER = b"sec-websocket-protocol"

_SESSION_FIELDS = frozenset({"dtype", "position", "replies"})
_MODEL_FIELDS = frozenset({"dtype", "replies", "version", "ttl_s"})

Encoding = Literal["text", "binary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A stream of a session that is there (`session_id`), or of a model, in a session of its own.

    `position`: the last one the client saw; what came after it is sent again, as `replies` says.
    `dtype`: what the client's binary frames are made of, which is checked and no more.
    """

    session_id: str | None = None
    model: str | None = None
    version: int | None = None
    ttl_s: float | None = None
    position: int | None = None
    replies: Encoding = "text"
    dtype: str | None = None

    @property
    def route(self) -> str:
        """The path as the metrics name it."""
        if self.session_id is not None:
            return "/v1/sessions/{session_id}/stream"
        return "/v1/models/{model}/stream"


def is_stream(path: str) -> bool:
    """Whether a path is one of the two that streams are opened at."""
    parts = path.partition("?")[0].split("/")
    return (
        len(parts) == 5
        and parts[1] == "v1"
        and parts[4] == "stream"
        and (parts[2] in ("sessions", "models"))
    )


def read_call(path: str) -> Call:
    """The call that a path with its query is; raises InvalidRequest."""
    place, _, query = path.partition("?")
    _, _, kind, name, _ = place.split("/")
    of_session = kind == "sessions"
    fields = _read_query(query, _SESSION_FIELDS if of_session else _MODEL_FIELDS)
    return Call(
        session_id=unquote(name) if of_session else None,
        model=None if of_session else unquote(name),
        version=_read_whole(fields, "version"),
        ttl_s=_read_ttl(fields),
        position=_read_whole(fields, "position"),
        replies=_read_replies(fields),
        dtype=fields.get("dtype"),
    )


def read_headers(lines: Iterable[tuple[str, str]]) -> dict[bytes, bytes]:
    """Headers by their names in lower case; subprotocols may be offered on several lines."""
    headers: dict[bytes, bytes] = {}
    for each, text in lines:
        name, value = each.lower().encode("latin-1"), text.encode("latin-1")
        if name == _OFFER and name in headers:
            value = headers[name] + b"," + value
        headers[name] = value
    return headers


def with_key(headers: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """The headers, with the key of the subprotocols where there is one and no Authorization."""
    if b"authorization" in headers:
        return headers
    for offered in _offered(headers):
        if offered.startswith(_BEARER):
            text = offered[len(_BEARER) :]
            try:
                key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            except (ValueError, binascii.Error):
                return headers
            return {**headers, b"authorization": b"Bearer " + key}
    return headers


def _offered(headers: Mapping[bytes, bytes]) -> Sequence[str]:
    text = headers.get(_OFFER, b"").decode("latin-1")
    return [each.strip() for each in text.split(",")]


def _read_query(query: str, known: frozenset[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise InvalidRequest(
                f"{name}: unknown query parameter given; expected one of {', '.join(sorted(known))}"
            )
        fields[name] = value
    return fields


def _read_whole(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidRequest(f"{name}: {text!r} given; expected an integer of 0 or more")
    return int(text)


def _read_ttl(fields: Mapping[str, str]) -> float | None:
    text = fields.get("ttl_s")
    if text is None:
        return None
    try:
        ttl_s = float(text)
    except ValueError:
        ttl_s = 0.0
    if not ttl_s > 0:
        raise InvalidRequest(f"ttl_s: {text!r} given; expected a number above 0")
    return ttl_s


def _read_replies(fields: Mapping[str, str]) -> Encoding:
    text = fields.get("replies", "text")
    if text == "text":
        return "text"
    if text == "binary":
        return "binary"
    raise InvalidRequest(f"replies: {text!r} given; expected text or binary")
