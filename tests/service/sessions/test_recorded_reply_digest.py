"""What tells the inputs of two steps apart."""

import hashlib

import numpy as np
import pytest

from carousel.models.row import Array
from carousel.service.sessions.recorded_reply import digest


@pytest.mark.parametrize("size", [0, 1, 500, 505, 506, 512, 3000, 8000, 9000])
def test_every_value_counts(size: int) -> None:
    """Inputs of any size differ if one value does, wherever it stands; a copy does not."""
    x = np.arange(size, dtype=np.float32)
    found = {digest({"x": x}), digest({"x": x.copy()})}
    assert len(found) == 1
    for place in {0, size // 2, size - 1} if size else ():
        other = x.copy()
        other[place] += 0.5
        found.add(digest({"x": other}))
    assert len(found) == 1 + len({0, size // 2, size - 1} if size else ())


def test_names_shapes_and_dtypes_count() -> None:
    """The same bytes under another name, in another shape or of another dtype are other inputs."""
    x = np.zeros((2, 300), np.float32)
    inputs: list[dict[str, Array]] = [
        {"x": x},
        {"y": x},
        {"x": x.reshape(300, 2)},
        {"x": x.view(np.int32)},
    ]
    assert len({digest(each) for each in inputs}) == len(inputs)


def test_it_is_a_whole_hash_of_16_bytes() -> None:
    """However it is fed, what comes out is that of all the bytes at once."""
    sizes = [10, 2000, 2100, 40_000]
    arrays = [np.arange(size, dtype=np.uint8) for size in sizes]
    for array in arrays:
        found = digest({"x": array})
        assert len(found) == 16
        assert found in {
            hashlib.sha256(label + array.tobytes()).digest()[:16] for label in _labels(array)
        }


def _labels(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[bytes]:
    """What stands before the values, as it is stored with an output of the same kind."""
    from carousel.service.sessions.recorded_reply import add_reply

    packed = add_reply(b"", 0, 1, {}, {"x": array})
    data = array.tobytes()
    end = len(packed) - len(data)
    assert packed[end:] == data
    return [packed[start:end] for start in range(end)]
