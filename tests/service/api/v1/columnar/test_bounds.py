"""What a request of columns may be: rows, time steps, headers, memory, and what lies about them."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import orjson
import pytest
from safetensors.numpy import save

from tests.harness.client import refused
from tests.harness.inside import Service, serve
from tests.harness.rig import Rig
from tests.service.api.v1.columnar.asking import (
    JSON,
    PATH,
    TENSORS,
    body_of,
    read_told,
)

MANY = 16_384


def _ids(count: int, width: int = 0) -> list[str]:
    return [f"s{number}".ljust(width, "x") for number in range(count)]


@pytest.mark.parametrize("media", [JSON, TENSORS])
def test_rows_up_to_the_setting_and_no_more(media: str) -> None:
    """16,384 rows with the longest ids there are go; one more is refused, and the setting named."""

    async def scenario(service: Service) -> None:
        for count, width in ((MANY, 128), (MANY + 1, 8)):
            ones = np.ones((count, 2), np.float32)
            given = ones.tolist() if media == JSON else {"x": ones}
            body = body_of(media, _ids(count, width), given, model="witness")
            answer = await service.http.post(PATH, content=body, headers={"content-type": media})
            if count == MANY:
                told = read_told(answer)
                assert set(told.codes.values()) == {"session_not_found"}
                assert len(told.errors) == MANY
            else:
                problem = refused(answer, 422, "sequence_too_long")
                assert "CAROUSEL_MAX_BULK_ROWS" in problem["hint"]
        assert service.app.budget.held_bytes == 0

    serve(scenario)


@pytest.mark.parametrize("media", [JSON, TENSORS])
def test_time_steps_of_all_rows_together_are_bounded(media: str) -> None:
    """With time and packed: more than there may be rows are refused."""

    async def scenario(service: Service) -> None:
        long = np.ones((4, MANY // 4 + 1, 2), np.float32)
        for inputs, lengths in ((long, None), (long.reshape(-1, 2), [MANY // 4 + 1] * 4)):
            given = inputs.tolist() if media == JSON else {"x": inputs}
            body = body_of(media, _ids(4), given, lengths=lengths, model="witness")
            answer = await service.http.post(PATH, content=body, headers={"content-type": media})
            refused(answer, 422, "sequence_too_long")

    serve(scenario)


def _header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def _hostile() -> Iterator[bytes]:
    yield b""
    yield b"\xff" * 8
    yield (1 << 62).to_bytes(8, "little") + b"{}"
    yield (4_000_000).to_bytes(8, "little") + b"{" * 4_000_000
    yield _header(b"[]")
    yield _header(b"7")
    yield _header(b"{}")
    yield _header(b'{"__metadata__":[]}')
    yield _header(b'{"__metadata__":{"model":{"a":"b"}}}')
    yield _header(b'{"__metadata__":' * 500)
    whole = save({"x": np.ones((1, 2), np.float32)}, {"model": "witness", "session_ids": '["a"]'})
    yield whole[:-1]
    yield whole + b"\0"
    size = int.from_bytes(whole[:8], "little")
    head, values = whole[8 : 8 + size], whole[8 + size :]
    for old, new in (
        (b"[1,2]", b"[4000000000,4000000000]"),
        (b"[1,2]", b"[-1,-2]"),
        (b"[0,8]", b"[0,80]"),
        (b"[0,8]", b"[8,0]"),
        (b'"F32"', b'"F4"'),
        (b'"F32"', b"7"),
    ):
        assert old in head
        yield _header(head.replace(old, new)) + values
    many = b",".join(
        b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(9999)
    )
    yield _header(b"{%b}" % many)
    yield _header(b"{%b}" % b",".join(b'"%d":{}' % number for number in range(100_000)))
    lists = b"[" + b"[]," * 700_000 + b"[]]"
    yield _header(b'{"a":' + lists + b"}")
    ids = b'\\"\\",' * 300_000
    yield _header(b'{"__metadata__":{"model":"witness","session_ids":"[%b]"}}' % ids)


@pytest.mark.parametrize("number", range(len(list(_hostile()))))
def test_headers_that_lie(number: int) -> None:
    """Counts, shapes, offsets, nesting: refused in words, nothing held, and the service goes on."""

    async def scenario(service: Service) -> None:
        await service.open("a")
        body = list(_hostile())[number]
        answer = await service.http.post(PATH, content=body, headers={"content-type": TENSORS})
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["code"] in ("malformed", "invalid_request", "sequence_too_long")
        assert service.app.budget.held_bytes == 0
        assert (await service.step("a")).is_success

    serve(scenario)


@pytest.mark.parametrize(
    ("count", "code", "said"),
    [(257, "invalid_request", "tensors given"), (0, "sequence_too_long", "session_ids: ")],
)
def test_headers_are_counted_before_they_are_taken_apart(count: int, code: str, said: str) -> None:
    """Tensors, of which no model has so many, and ids; what is wrong besides is not reached."""

    async def scenario(service: Service) -> None:
        none = b'"t%d":{"dtype":"none","shape":[],"data_offsets":[0,0]}'
        ids = b",".join([b'\\"a\\"'] * (3 if count else MANY + 1))
        members = [b'"__metadata__":{"model":"witness","session_ids":"[%b"}' % ids]
        body = _header(b"{%b}" % b",".join(members + [none % number for number in range(count)]))
        answer = await service.http.post(PATH, content=body, headers={"content-type": TENSORS})
        assert said in refused(answer, 422, code)["detail"]

    serve(scenario)


def test_nested_lists_are_refused() -> None:
    """As deep as JSON may be, and as many as there may be."""

    async def scenario(service: Service) -> None:
        for inputs in (b"[" * 900 + b"]" * 900, b"[" + b"[[[]]]," * 200_000 + b"[]]"):
            body = b'{"model":"witness","session_ids":["a"],"inputs":%b}' % inputs
            answer = await service.http.post(PATH, content=body, headers={"content-type": JSON})
            assert answer.status_code == 422, answer.text

    serve(scenario)


@contextmanager
def _peak(bytes_at_most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < bytes_at_most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("media", [JSON, TENSORS])
def test_unknown_ids_cost_no_more_than_is_counted(media: str) -> None:
    """Each error and its text, and not what the errors came through."""
    count = 4096
    ones = np.ones((count, 2), np.float32)

    async def scenario(service: Service) -> None:
        given = ones.tolist() if media == JSON else {"x": ones}
        body = body_of(media, _ids(count), given, model="witness")
        # 1.5 KiB a row is what the service counts beside the body.
        with _peak(count * 3072):
            answer = await service.http.post(PATH, content=body, headers={"content-type": media})
        assert len(read_told(answer).errors) == count

    serve(scenario, Rig(num_slots=64))


def test_rows_that_cannot_be_read_cost_no_more_than_is_counted() -> None:
    """Not the frames that their errors came through."""
    count = 4096

    async def scenario(service: Service) -> None:
        inputs = [[1.0, "x"] if number % 2 else [1.0, 1.0] for number in range(count)]
        body = orjson.dumps({"model": "witness", "session_ids": _ids(count), "inputs": inputs})
        with _peak(count * 3072):
            answer = await service.http.post(PATH, content=body, headers={"content-type": JSON})
        assert len(read_told(answer).errors) == count

    serve(scenario, Rig(num_slots=64))
