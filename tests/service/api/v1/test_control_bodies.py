"""What the JSON of the control plane comes to, without a server."""

import tracemalloc

import orjson
import pytest

from carousel.service.api.v1.control_bodies import (
    Empty,
    ForkSession,
    OpenSession,
    WriteState,
    read_body,
)
from carousel.service.errors import InvalidRequest

_MANY = 100_000


@pytest.mark.parametrize("kind", [Empty, ForkSession, OpenSession, WriteState])
def test_many_unknown_fields_take_no_more_than_one(
    kind: type[Empty | ForkSession | OpenSession | WriteState],
) -> None:
    """The first is named; of each of a million an error was made, a gigabyte of them."""
    text = orjson.dumps({f"name{index}": index for index in range(_MANY)})
    assert "name0: unknown field given" in _refused(kind, text)


def _refused(kind: type[Empty | ForkSession | OpenSession | WriteState], text: bytes) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest) as caught:
            read_body(kind, text)
        # The members take 400 bytes each, an error of each as much again and more.
        assert tracemalloc.get_traced_memory()[1] < len(text) + 600 * _MANY
    finally:
        tracemalloc.stop()
    return caught.value.detail
