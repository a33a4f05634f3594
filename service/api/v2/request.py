"""The inference request: its JSON, taken apart and checked as far as no model is needed.

Members and parameters that are not known here are passed over, as the protocol's servers do:
clients put things of their own there.
"""

from dataclasses import dataclass, field
from typing import Any

from carousel.service.api.encoding.document import parse, take_list
from carousel.service.api.encoding.explain import kind_of
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.media.choose import JSON, RAW, TABLE, media_of
from carousel.service.api.v2.binary_tensors import HEADER, read_length
from carousel.service.errors import InvalidRequest, UnsupportedMediaType

# Encodings that only `/v1` has.
OTHER_MEDIA = tuple(each for each in TABLE if each not in (JSON, RAW))
# What would put a tensor elsewhere, or another thing in its place.
_UNSUPPORTED = frozenset({"shared_memory_region", "classification"})


@dataclass(slots=True)
class InferRequest:
    """An inference request. `inputs` and `outputs` are objects with a name each.

    `is_raw`: the body is nothing but the one input's bytes, in `binary`.
    """

    id: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    binary: bytes | None = None
    is_raw: bool = False


def read_request(exchange: Exchange) -> InferRequest:
    """The request that a body is; raises Malformed, InvalidRequest, UnsupportedMediaType."""
    media = media_of(exchange.content_type)
    if media in OTHER_MEDIA:
        raise UnsupportedMediaType(
            f"Content-Type: {media.name} given; expected JSON, followed by tensors "
            "where Inference-Header-Content-Length says so"
        )
    body, length = exchange.body, _json_length(exchange)
    if length == 0:
        return InferRequest(binary=body, is_raw=True)
    binary = None
    if length is not None:
        body, binary = body[:length], body[length:]
    document = parse(body)
    name = document.get("id")
    if name is not None and type(name) is not str:
        raise InvalidRequest(f"id: {kind_of(name)} given; expected a string")
    parameters = take_parameters(document, "the request")
    outputs = _take_tensors(document, "outputs") if document.get("outputs") else []
    return InferRequest(name, parameters, _take_tensors(document, "inputs"), outputs, binary)


def json_of(exchange: Exchange) -> bytes:
    """What of a body is JSON; raises InvalidRequest."""
    return exchange.body[: _json_length(exchange)]


def take_parameters(document: dict[str, Any], where: str) -> dict[str, Any]:
    """The member `parameters`, empty where there is none."""
    value = document.get("parameters")
    if value is None:
        return {}
    if type(value) is not dict:
        raise InvalidRequest(f"{where}.parameters: {kind_of(value)} given; expected an object")
    if not _UNSUPPORTED.isdisjoint(value):
        name = min(_UNSUPPORTED & value.keys())
        raise InvalidRequest(f"{where}.parameters.{name}: not supported here")
    return value


def take_bool(parameters: dict[str, Any], name: str, default: bool, where: str) -> bool:
    """A boolean parameter."""
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise InvalidRequest(
            f"{where}.parameters.{name}: {kind_of(value)} given; expected true or false"
        )
    return value


def _json_length(exchange: Exchange) -> int | None:
    """How many bytes of a body are JSON, where binary tensors follow it; None: all of them."""
    given = exchange.headers.get(HEADER)
    return None if given is None else read_length(given, len(exchange.body))


def _take_tensors(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    tensors = take_list(document, name)
    if len(tensors) == 1 and type(tensors[0]) is dict and type(tensors[0].get("name")) is str:
        return tensors
    seen: set[str] = set()
    for index, each in enumerate(tensors):
        if type(each) is not dict:
            raise InvalidRequest(f"{name}[{index}]: {kind_of(each)} given; expected an object")
        title = each.get("name")
        if type(title) is not str:
            given = kind_of(title) if "name" in each else "nothing"
            raise InvalidRequest(f"{name}[{index}].name: {given} given; expected a string")
        if title in seen:
            raise InvalidRequest(f"{name}: {title!r} given twice; expected each once")
        seen.add(title)
    return tensors
