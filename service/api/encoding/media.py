"""Media types: what a body is, and what the answer may be."""

from enum import Enum
from functools import lru_cache

from carousel.service.errors import NotAcceptable, UnsupportedMediaType


class Media(Enum):
    """The encodings of arrays on the wire; `content_type` is also the media type."""

    JSON = "application/json"
    RAW = "application/octet-stream"
    SAFETENSORS = "application/x-safetensors"

    def __init__(self, name: str) -> None:
        self.content_type = name.encode()


_READABLE: dict[bytes | None, Media] = {each.content_type: each for each in Media}
# Nothing said is JSON. What browsers send without asking (forms, text/plain) is refused.
_READABLE[None] = Media.JSON
_NAMES = ", ".join(each.value for each in Media)


def media_of(content_type: bytes | None) -> Media:
    """The encoding of a body; raises UnsupportedMediaType."""
    known = _READABLE.get(content_type)
    return _parse(content_type or b"") if known is None else known


def media_for(accept: bytes | None, usual: Media) -> Media:
    """The encoding of an answer: `usual` where the client takes it, else the one it likes best."""
    if accept is None or accept == b"*/*":
        return usual
    return _negotiate(accept, usual)


def require_json(accept: bytes | None) -> None:
    """Raise NotAcceptable from a route that answers JSON alone, where the client takes none."""
    if media_for(accept, Media.JSON) is not Media.JSON:
        raise NotAcceptable(f"this answer has one encoding, {Media.JSON.value}")


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
