"""The safetensors format, for the few tensors of a request: eight bytes with the length of a JSON
header, the header, the values one after another.
"""

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from carousel_client.errors import BadAnswer
from carousel_client.model import Array, little

_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_NAMES = {
    "float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "int16": "I16",
    "int32": "I32", "int64": "I64", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_DTYPES = {name: little(dtype) for dtype, name in _NAMES.items()}


def write_tensors(tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of tensors by name, and of what is said of them."""
    header: dict[str, Any] = {} if metadata is None else {_METADATA: dict(metadata)}
    parts: list[bytes] = []
    offset = 0
    for name, array in tensors.items():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        parts.append(little.tobytes())
        end = offset + len(parts[-1])
        header[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    # Readers may map the values, so they begin at a multiple of eight.
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return b"".join((len(text).to_bytes(_LENGTH_BYTES, "little"), text, *parts))


def read_tensors(data: bytes) -> dict[str, Array]:
    """The tensors by name, each an array of its own; raises BadAnswer."""
    begin = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        header = json.loads(data[_LENGTH_BYTES:begin])
        entries = {name: each for name, each in header.items() if name != _METADATA}
        end = max((each["data_offsets"][1] for each in entries.values()), default=0)
        if begin + end != len(data):
            raise ValueError
        return {name: _read(entry, data, begin) for name, entry in entries.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BadAnswer("the answer is not a safetensors file") from None


def read_metadata(data: bytes) -> dict[str, str]:
    """What is said of the tensors of a file that was read; nothing where nothing is."""
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    found: dict[str, str] = json.loads(data[_LENGTH_BYTES:end]).get(_METADATA, {})
    return found


def _read(entry: Mapping[str, Any], data: bytes, begin: int) -> Array:
    dtype, shape, (start, end) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    count = prod(shape)
    if end - start != count * dtype.itemsize:
        raise ValueError
    return np.frombuffer(data, dtype, count, begin + start).reshape(shape).copy()
