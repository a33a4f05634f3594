"""safetensors bodies: parsed with their sizes checked first, and written."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from carousel.models.row import Array
from carousel.service.errors import Malformed

_MAX_HEADER_BYTES = 64 * 1024
_LENGTH_BYTES = 8
_DTYPES = {
    "F16": "float16", "F32": "float32", "F64": "float64", "I8": "int8", "I16": "int16",
    "I32": "int32", "I64": "int64", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a body, as it says of itself; `dtype` in numpy's words where there is one."""

    dtype: str
    sizes: list[int]
    data: bytes


def parse_tensors(body: bytes) -> dict[str, Entry]:
    """The tensors of a safetensors body by name; raises Malformed."""
    length = int.from_bytes(body[:_LENGTH_BYTES], "little")
    if len(body) < _LENGTH_BYTES or length > min(len(body) - _LENGTH_BYTES, _MAX_HEADER_BYTES):
        raise Malformed(
            f"the body: {len(body)} bytes whose first {_LENGTH_BYTES} announce a header of "
            f"{length} bytes; expected safetensors with a header of {_MAX_HEADER_BYTES} at most"
        )
    try:
        found = deserialize(body)  # type: ignore[no-untyped-call]  # a function in Rust
    except SafetensorError:
        raise Malformed("the body: its header is not that of a safetensors file") from None
    return {
        name: Entry(_DTYPES.get(entry["dtype"], entry["dtype"]), entry["shape"], entry["data"])
        for name, entry in found
    }


def write_tensors(tensors: Mapping[str, Array]) -> bytes:
    """A safetensors body; the same tensors give the same bytes."""
    return save({name: np.ascontiguousarray(each) for name, each in tensors.items()})
