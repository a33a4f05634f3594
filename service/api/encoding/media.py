"""Media types: what a body is, and what the answer may be."""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import get_args

from carousel.models.spec import Dtype
from carousel.service.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType


class Media(Enum):
    """The encodings of arrays on the wire; `content_type` is also the media type."""

    JSON = "application/json"
    RAW = "application/octet-stream"
    SAFETENSORS = "application/x-safetensors"
    NPY = "application/x-npy"

    def __init__(self, name: str) -> None:
        self.content_type = name.encode()

    @property
    def is_single(self) -> bool:
        """Whether a body holds one tensor, which has no name."""
        return self in (Media.RAW, Media.NPY)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a content type says of the array that raw bytes are; None where it says nothing."""

    dtype: str | None
    shape: tuple[int, ...] | None


_READABLE: dict[bytes | None, Media] = {each.content_type: each for each in Media}
# Nothing said is JSON. What browsers send without asking (forms, text/plain) is refused.
_READABLE[None] = Media.JSON
_DTYPES = get_args(Dtype)
_SHAPE = re.compile(r"([0-9]{1,9}(,[0-9]{1,9})*)?,?")
_NAMES = ", ".join(each.value for each in Media)


def media_of(content_type: bytes | None) -> Media:
    """The encoding of a body; raises UnsupportedMediaType."""
    known = _READABLE.get(content_type)
    return _parse(content_type or b"") if known is None else known


def declared_in(content_type: bytes | None) -> Declared | None:
    """The parameters `dtype` and `shape` of raw bytes, `dtype=float32; shape="3,10"`; raises
    InvalidRequest for what is neither.
    """
    return None if content_type is None or b";" not in content_type else _declared(content_type)


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
def _declared(content_type: bytes) -> Declared | None:
    found: dict[str, str] = {}
    for parameter in content_type.decode("latin-1").lower().split(";")[1:]:
        key, _, value = parameter.strip().partition("=")
        found[key.strip()] = value.strip().strip('"')
    dtype, shape = found.get("dtype"), found.get("shape")
    if dtype is None and shape is None:
        return None
    if dtype is not None and dtype not in _DTYPES:
        raise InvalidRequest(
            f"Content-Type: dtype {dtype!r} given; expected one of {', '.join(_DTYPES)}"
        )
    if shape is not None and _SHAPE.fullmatch(shape) is None:
        raise InvalidRequest(
            f'Content-Type: shape {shape!r} given; expected sizes as in shape="3,10"'
        )
    sizes = None if shape is None else tuple(int(each) for each in shape.split(",") if each)
    return Declared(dtype, sizes)


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
