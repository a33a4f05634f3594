"""`application/x-npy`: the one input, or the one output, as NumPy's own file format.

The header is looked at before anything is made of it: it may claim any size, and name pickles.
Format: numpy.lib.format's documentation, versions 1.0 and 2.0.
"""

import io
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

from carousel.models.row import Array
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.api.encoding.tensor import Entry
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.media.media import Media
from carousel.service.errors import Malformed

# All that a header of numbers may be; NumPy evaluates as Python what its length says is header.
_HEAD = re.compile(
    rb"\x93NUMPY(?:\x01\x00..|\x02\x00....)\{'descr': '[<>|=]?[a-zA-Z][0-9]{0,3}', "
    rb"'fortran_order': (?:True|False), 'shape': \([0-9, ]{0,200}\),? *\} *\n",
    re.DOTALL,
)
_SIZE_AT = 8
_READERS: dict[tuple[int, int], Any] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


class Npy(Media):
    """A file says its dtype and shape."""

    name = "application/x-npy"
    is_single = True

    def read_inputs(self, exchange: Exchange, codec: Codec) -> InputSequence:
        codec.inputs.require_single(self.name)
        array = _read(exchange.body)
        return codec.inputs.read_entry(Entry(array.dtype.name, array.shape, array.tobytes()))

    def write(
        self, codec: Codec, outputs: Mapping[str, Array], state: Mapping[str, Array] | None
    ) -> bytes:
        return _write(codec.outputs.single(outputs))


def _read(body: bytes) -> Array:
    """The array that a body holds, little-endian and row-major; raises Malformed."""
    file = io.BytesIO(body)
    try:
        head = _HEAD.match(body)
        if head is None or head.end() != _head_end(body):
            raise ValueError
        shape, by_columns, dtype = _READERS[npy.read_magic(file)](file)
    except (ValueError, TypeError, SyntaxError):
        raise Malformed("the body: no NumPy file (.npy, version 1.0 or 2.0) given") from None
    if dtype.kind not in "biuf":
        raise Malformed(f"the body: an array of {dtype} given; expected numbers or booleans")
    start = file.tell()
    size, expected = len(body) - start, math.prod(shape) * dtype.itemsize
    if size != expected:
        raise Malformed(
            f"the body: {size} bytes of values given; expected {expected} for {dtype} {shape}"
        )
    flat = np.frombuffer(body, dtype, offset=start)
    array: Array = flat.reshape(shape, order="F" if by_columns else "C")
    return np.ascontiguousarray(array, dtype.newbyteorder("<")).reshape(shape)


def _head_end(body: bytes) -> int:
    """How far the header reaches by its own length, of 2 bytes in version 1.0 and 4 in 2.0."""
    start = _SIZE_AT + (2 if body[_SIZE_AT - 2] == 1 else 4)
    return start + int.from_bytes(body[_SIZE_AT:start], "little")


def _write(array: Array) -> bytes:
    """An array as a body."""
    file = io.BytesIO()
    npy.write_array(file, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    return file.getvalue()
