"""`application/octet-stream`: the bytes of the one input, or the one output, and nothing else.

The content type may say what they are, `application/octet-stream; dtype=float32; shape="3,10"`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import get_args

from carousel.models.row import Array
from carousel.models.spec import Dtype
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.inputs import Declared, InputSequence
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.media.media import Media
from carousel.service.errors import InvalidRequest

_DTYPES = get_args(Dtype)
_SHAPE = re.compile(r"([0-9]{1,9}(,[0-9]{1,9})*)?,?")


class Raw(Media):
    """Little-endian and row-major."""

    name = "application/octet-stream"
    is_single = True

    def read_inputs(self, exchange: Exchange, codec: Codec) -> InputSequence:
        content_type = exchange.headers[b"content-type"]
        declared = _declared(content_type) if b";" in content_type else None
        return codec.inputs.read_bytes(exchange.body, declared)

    def write(
        self, codec: Codec, outputs: Mapping[str, Array], state: Mapping[str, Array] | None
    ) -> bytes:
        return codec.outputs.raw(outputs)


@lru_cache(maxsize=256)
def _declared(content_type: bytes) -> Declared | None:
    """What the parameters `dtype` and `shape` say; raises InvalidRequest for what is neither."""
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
