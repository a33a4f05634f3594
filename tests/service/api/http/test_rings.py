"""What is refused leaves nothing behind: no ring of an error, its frames and what they hold, which
would stay until the garbage collector comes, and it comes seldom.
"""

import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from websockets.frames import Opcode

from tests.harness.rawstream import dial, message
from tests.harness.rig import settle
from tests.harness.site import BODY, Site, on_a_socket, step

JSON = b"Content-Type: application/json"
RAW = b"Content-Type: application/octet-stream"
STEPS, INFER = "/v1/sessions/a/steps", "/v1/models/witness/infer"
ONE = {"inputs": [[1, 1]]}
OIP = {"name": "x", "shape": [1, 1, 2], "datatype": "FP32", "data": [1, 1]}


def request(method: str, path: str, body: bytes = b"", *lines: bytes) -> bytes:
    """A request; of lines that name a Host the first counts."""
    host = () if any(each.startswith(b"Host") for each in lines) else (b"Host: 127.0.0.1",)
    head = [f"{method} {path} HTTP/1.1".encode(), *host, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def ask(path: str, document: Any, *lines: bytes, method: str = "POST") -> bytes:
    """A request in JSON."""
    return request(method, path, orjson.dumps(document), JSON, *lines)


KINDS = {
    "not JSON": (400, request("POST", STEPS, b"{", JSON)),
    "not JSON, long": (400, request("POST", STEPS, b"1" * 70_000 + b"x", JSON)),
    "shape": (422, ask(STEPS, {"inputs": [[1]]})),
    "shape, long": (422, ask(STEPS, {"inputs": [[1, 1]] * 9_999 + [[1]]})),
    "field": (422, ask(STEPS, ONE | {"x": 1})),
    "NaN": (422, request("POST", STEPS, b"\xff" * 8, RAW)),
    "no session": (404, ask("/v1/sessions/none/steps", ONE)),
    "conflict": (409, ask(STEPS, ONE | {"position": 999})),
    "media": (415, request("POST", STEPS, b"x", b"Content-Type: text/plain")),
    "coding": (415, ask(STEPS, ONE, b"Content-Encoding: gzip")),
    "accept": (406, ask(STEPS, ONE, b"Accept: text/html")),
    "timeout": (422, ask(STEPS, ONE, b"X-Request-Timeout-Ms: x")),
    "method": (405, request("PUT", STEPS)),
    "path": (404, request("GET", "/nowhere")),
    "host": (403, ask(STEPS, ONE, b"Host: evil.example")),
    "host, control": (403, request("GET", "/v1/sessions", b"", b"Host: evil.example")),
    "poison": (500, ask(STEPS, {"inputs": [[-777, -777]]})),
    "many, none": (200, ask("/v1/steps", {"steps": [{"session_id": "n", **ONE}] * 20})),
    "many, shape": (
        200,
        ask("/v1/steps", {"steps": [{"session_id": "a", "inputs": [[1]]}] * 20}),
    ),
    "many, conflict": (
        200,
        ask("/v1/steps", {"steps": [{"session_id": "a", "position": 999, **ONE}] * 20}),
    ),
    "many, bad": (422, ask("/v1/steps", {"steps": [1]})),
    "infer, model": (404, ask("/v1/models/none/infer", {"sequences": [[[1, 1]]]})),
    "infer, shape": (422, ask(INFER, {"sequences": [[[1]]]})),
    "infer, poison": (500, ask(INFER, {"sequences": [[[-777, -777]]] * 3})),
    "v2, model": (404, ask("/v2/models/none/infer", {"inputs": [OIP]})),
    "v2, count": (422, ask("/v2/models/witness/infer", {"inputs": [OIP | {"data": [1]}]})),
    "v2, sequence": (
        404,
        ask("/v2/models/witness/infer", {"parameters": {"sequence_id": 7}, "inputs": [OIP]}),
    ),
    "open, model": (404, ask("/v1/sessions", {"model": "none"})),
    "open, taken": (409, ask("/v1/sessions", {"model": "witness", "session_id": "a"})),
    "open, type": (422, ask("/v1/sessions", {"model": 1})),
    "show, none": (404, request("GET", "/v1/sessions/none")),
    "delete, none": (404, request("DELETE", "/v1/sessions/none")),
    "delete, tag": (412, request("DELETE", "/v1/sessions/a", b"", b'If-Match: "x"')),
    "list": (422, request("GET", "/v1/sessions?limit=x")),
    "fork": (409, ask("/v1/sessions/a/fork", {"session_ids": ["a"]})),
    "state": (422, ask("/v1/sessions/a/state", {"state": {}, "position": 0}, method="PUT")),
}


async def rings(once: Callable[[], Awaitable[None]]) -> Counter[str]:
    """What the collector finds of ours, of tracebacks and of frames, after many times."""
    for _ in range(3):
        await once()
    await settle(200)
    # What is there already is not looked through.
    gc.freeze()
    gc.disable()
    try:
        for _ in range(10):
            await once()
        await settle(200)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = [type(each) for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()
    return Counter(
        kind.__name__
        for kind in kinds
        if kind.__module__.startswith("carousel") or kind.__name__ in ("frame", "traceback", "Task")
    )


def test_refused_requests_are_let_go() -> None:
    """With the collector off, memory would stay flat over any number of them, of any kind."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        left: dict[str, Counter[str]] = {}
        for kind, (status, data) in KINDS.items():

            async def once(status: int = status, data: bytes = data) -> None:
                assert (await line.ask(data))[0] == status

            found = await rings(once)
            if found:
                left[kind] = found
        assert not left

    on_a_socket(scenario)


ENDS = {
    "unasked": b"",
    "answered": step("a"),
    "amid a head": step("a")[:20],
    "amid a body": step("a")[:-3],
    "refused": b"this is no request\r\n\r\n",
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_connection_that_ended_is_let_go(kind: str) -> None:
    """However it ended."""

    async def scenario(site: Site) -> None:
        await site.open("a")

        async def once() -> None:
            line = await site.connect()
            line.send(ENDS[kind])
            await line.writer.drain()
            if kind in ("answered", "refused"):
                await line.answer()
            line.writer.transport.abort()

        assert not await rings(once)

    on_a_socket(scenario)


@pytest.mark.parametrize("path", ["/v1/sessions/a/stream", "/v1/models/witness/stream"])
def test_a_stream_that_ended_is_let_go(path: str) -> None:
    """With frames that were answered and frames that were refused."""

    async def scenario(site: Site) -> None:
        await site.open("a")

        async def once() -> None:
            async with dial(site, path) as raw:
                await raw.text()
                raw.send(message(BODY) + message(b"{}", Opcode.TEXT))
                await raw.frame()
                assert "error" in await raw.text()
                raw.answer_close(1000)
                await raw.close_code()

        assert not await rings(once)

    on_a_socket(scenario)
