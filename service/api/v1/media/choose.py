"""The table of media types: what a body is, and what the answer may be."""

from functools import lru_cache

from carousel.service.api.encoding.outputs import Outputs
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.media.json import Json
from carousel.service.api.v1.media.media import Media
from carousel.service.api.v1.media.npy import Npy
from carousel.service.api.v1.media.raw import Raw
from carousel.service.api.v1.media.safetensors import Safetensors
from carousel.service.errors import NotAcceptable, UnsupportedMediaType

JSON, RAW, SAFETENSORS, NPY = TABLE = (Json(), Raw(), Safetensors(), Npy())

_READABLE: dict[bytes | None, Media] = {each.name.encode(): each for each in TABLE}
# Nothing said is JSON. What browsers send without asking (forms, text/plain) is refused.
_READABLE[None] = JSON
_NAMES = ", ".join(each.name for each in TABLE)


def media_of(content_type: bytes | None) -> Media:
    """What a body is; raises UnsupportedMediaType."""
    known = _READABLE.get(content_type)
    return _parse(content_type or b"") if known is None else known


def text_of(exchange: Exchange) -> bytes:
    """What of a body is JSON: all, or nothing; raises UnsupportedMediaType."""
    return exchange.body if media_of(exchange.content_type) is JSON else b""


def media_for(accept: bytes | None, usual: Media) -> Media:
    """What an answer shall be: `usual` where the client takes it, else what it likes best."""
    if accept is None or accept == b"*/*":
        return usual
    return _negotiate(accept, usual)


def media_for_outputs(
    accept: bytes | None, given: Media, outputs: Outputs, *, with_state: bool
) -> Media:
    """What the answer to a request in `given` shall be; asked before anything runs.

    Raises NotAcceptable where it would hold one tensor, and the answer has more.
    """
    usual = SAFETENSORS if with_state and given.is_single else given
    media = media_for(accept, usual)
    if media.is_single:
        outputs.require_single(with_state=with_state)
    return media


def require_json(accept: bytes | None) -> None:
    """Raise NotAcceptable from a route that answers JSON alone, where the client takes none."""
    if media_for(accept, JSON) is not JSON:
        raise NotAcceptable(f"this answer has one encoding, {JSON.name}")


@lru_cache(maxsize=256)
def _parse(content_type: bytes) -> Media:
    name, *parameters = content_type.decode("latin-1").lower().split(";")
    known = _READABLE.get(name.strip().encode("latin-1"))
    if known is None:
        raise UnsupportedMediaType(
            f"Content-Type: {name.strip()!r} given; expected one of {_NAMES}",
            hint="curl sends JSON with --json, or with -H 'Content-Type: application/json'",
        )
    for parameter in parameters:
        key, _, value = parameter.strip().partition("=")
        if key == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"Content-Type: charset {value!r} given; expected utf-8")
    return known


@lru_cache(maxsize=256)
def _negotiate(accept: bytes, usual: Media) -> Media:
    best, best_quality = None, 0.0
    for part in accept.decode("latin-1").lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        quality = _quality(parameters)
        if name in ("*/*", "application/*"):
            # A wildcard is less than a name: axios asks for "application/json, */*".
            media, quality = usual, quality * 0.999
        else:
            known = _READABLE.get(name.encode("latin-1"))
            if known is None:
                continue
            media = known
        if quality > best_quality:
            best, best_quality = media, quality
    if best is None:
        raise NotAcceptable(f"Accept: {accept.decode('latin-1')!r} given; expected one of {_NAMES}")
    return best


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
