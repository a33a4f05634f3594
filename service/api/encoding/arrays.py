"""Arrays as JSON: the shortest digits that read back equal, and words for what JSON cannot say."""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from carousel.models.row import Array
from carousel.service.api.encoding.explain import WORDS

_WORDS = {str(value): b'"%b"' % word.encode() for word, value in WORDS.items()}

# As much of an array as is written at once.
_MAX_BYTES = 1 << 20


def array_json(array: Array) -> bytes:
    """An array as JSON; NaN and infinities as the strings of protobuf's JSON mapping."""
    if array.nbytes > _MAX_BYTES and array.ndim:
        return _in_parts(array)
    try:
        text = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        # orjson takes no views with strides and no arrays without axes, which become one long.
        text = array_json(np.ascontiguousarray(array))
        return text if array.ndim else text[1:-1]
    # orjson writes null for what is not finite, and nothing else in an array has an n.
    return _fill_nulls(text, array) if b"n" in text else text


def _in_parts(array: Array) -> bytes:
    """The same a part at a time: within one the interpreter runs nothing else."""
    if len(array) == 1:
        return b"[%b]" % array_json(array[0])
    count = max(1, len(array) * _MAX_BYTES // array.nbytes)
    parts = [array_json(array[at : at + count])[1:-1] for at in range(0, len(array), count)]
    return b"[%b]" % b",".join(parts)


def arrays_json(arrays: Mapping[str, Array]) -> bytes:
    """Arrays by name, as a JSON object."""
    members = (b"%b:%b" % (orjson.dumps(name), array_json(each)) for name, each in arrays.items())
    return b"{%b}" % b",".join(members)


def rows_json(array: Array, gaps: Sequence[int]) -> bytes:
    """An array as JSON, with null in place of the rows `gaps`, which are in order."""
    if not len(gaps):
        return array_json(array)
    pieces: list[bytes] = []
    start = 0
    for gap in (*gaps, len(array)):
        if start < gap:
            pieces.append(array_json(array[start:gap])[1:-1])
        if gap < len(array):
            pieces.append(b"null")
        start = gap + 1
    return b"[%b]" % b",".join(pieces)


def _fill_nulls(text: bytes, array: Array) -> bytes:
    words = [_WORDS[str(value)] for value in array[~np.isfinite(array)].tolist()]
    before, *after = text.split(b"null")
    return before + b"".join(word + rest for word, rest in zip(words, after, strict=True))
