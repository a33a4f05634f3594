"""Large and deep bodies, one after the other and several at once: what each must be answered."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from websockets.frames import Frame, Opcode

from tests.harness.fuzz.lines import HEADS
from tests.harness.fuzz.link import Link
from tests.harness.fuzz.outcome import Outcome
from tests.harness.fuzz.slow import http_post, infer_request

_INFER, _BULK, _OIP = "/v1/models/witness/infer", "/v1/steps", "/v2/models/witness/infer"
_STREAM = next(each for each in HEADS if b"/stream?" in each)
_PATIENCE_S = 60.0
_REFUSED = frozenset({400, 413, 415, 422, 503, 504})


@dataclass(frozen=True, slots=True)
class Bomb:
    """A request, made when it is sent; `at_once`: by so many clients together. `statuses`: what it
    may be answered. `deaf_s`: for so long nothing is read. `code`: of a stream, what it is closed
    with; None where it is not.
    """

    name: str
    make: Callable[[int], bytes]
    at_once: int = 1
    statuses: frozenset[int] = _REFUSED
    deaf_s: float = 0.0
    code: int | None = None


def _filled(start: bytes, piece: bytes, last: bytes, end: bytes, size: int) -> bytes:
    return start + piece * ((size - len(start) - len(last) - len(end)) // len(piece)) + last + end


def _deep(size: int) -> bytes:
    return http_post(_INFER, b"[" * (size // 2) + b"]" * (size // 2))


def _empty_lists(size: int) -> bytes:
    return http_post(_INFER, _filled(b'{"sequences":[', b"[],", b"[]", b"]}", size))


def _one_steps(size: int) -> bytes:
    piece = b"[[0.125,0.25]],"
    return http_post(_INFER, _filled(b'{"sequences":[', piece, piece[:-1], b"]}", size))


def _nested_lists(size: int) -> bytes:
    piece = b"[" * 200 + b"]" * 200 + b","
    return http_post(_INFER, _filled(b'{"sequences":[', piece, piece[:-1], b"]}", size))


def _members(size: int) -> bytes:
    each = (b'"%07d":%07d' % (index, index + 10**6) for index in range(size // 18))
    return b"{%b}" % b",".join(each)


def _number(size: int) -> bytes:
    return http_post(_INFER, b'{"sequences":[[[%b,1]]]}' % (b"9" * (size - 40)))


def _string(size: int) -> bytes:
    return http_post(_INFER, b'{"sequences":["%b"]}' % (b"\\u00e9" * ((size - 40) // 6)))


def _unknown_ids(number: int) -> bytes:
    steps = [{"session_id": f"nobody-{index}", "inputs": [[1, 2]]} for index in range(number)]
    return http_post(_BULK, orjson.dumps({"steps": steps}))


def _oip_data(size: int) -> bytes:
    entry = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1,2],"data":['
    return http_post(_OIP, _filled(entry, b"1,", b"1", b"]}]}", size))


def _oip_shape(size: int) -> bytes:
    shape = b"[" * (size // 2 - 100) + b"]" * (size // 2 - 100)
    entry = b'{"inputs":[{"name":"x","datatype":"FP32","shape":%b,"data":[1]}]}' % shape
    return http_post(_OIP, entry)


def _gzip(size: int) -> bytes:
    packed = gzip.compress(bytes(size * 10), 1)
    lines = (b"Content-Type: application/json", b"Content-Encoding: gzip")
    return http_post(_INFER, packed[: 10**7], *lines)


def _chunked(tail: bytes) -> bytes:
    head = b"POST /v1/steps HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + tail


def _trailers(size: int) -> bytes:
    return _chunked(b"2\r\n{}\r\n0\r\n" + b"X-A: 0123456789\r\n" * (size // 17))


def _chunk_names(size: int) -> bytes:
    return _chunked(b"2;" + b"a" * size)


def _one_byte_chunks(size: int) -> bytes:
    return _chunked(b"1\r\n \r\n" * (size // 6) + b"0\r\n\r\n")


def _headers(size: int) -> bytes:
    return b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X-A: 0123456789\r\n" * (size // 17)


def _tunnels(size: int) -> bytes:
    return b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" * (size // 36)


def _frames(size: int) -> bytes:
    piece = Frame(Opcode.CONT, b"", False).serialize(mask=True)
    first = Frame(Opcode.TEXT, b"", False).serialize(mask=True)
    return _STREAM + first + piece * (size // len(piece))


def _frame_size(size: int) -> bytes:
    return _STREAM + b"\x82\xff" + (size * 2**30).to_bytes(8, "big") + bytes(4 + size)


def _pings(size: int) -> bytes:
    piece = Frame(Opcode.PING, bytes(125)).serialize(mask=True)
    return _STREAM + piece * (size // len(piece))


_OPENED = frozenset({101})
BOMBS = (
    Bomb("lists, as deep as the body", _deep),
    Bomb("lists of 200 in each other", _nested_lists, 3),
    Bomb("empty lists", _empty_lists),
    Bomb("empty lists, twelve at once", _empty_lists, 12),
    Bomb("sequences of one step", _one_steps, 2),
    Bomb("sequences of one step, 5 MB", lambda size: _one_steps(size // 3)),
    Bomb("members", lambda size: http_post(_INFER, _members(size)), 2),
    Bomb("members of a session", lambda size: http_post("/v1/sessions", _members(size))),
    Bomb("one number", _number),
    Bomb("one string", _string, 2),
    Bomb("60,000 unknown ids", lambda size: _unknown_ids(60_000 * size // 16_000_000), 2,
         _REFUSED | {200}),
    Bomb("9,999 unknown ids", lambda size: _unknown_ids(9_999 * size // 16_000_000), 4,
         _REFUSED | {200}),
    Bomb("/v2: values", _oip_data),
    Bomb("/v2: a shape of lists", _oip_shape),
    Bomb("/v2: a deep shape", lambda _: _oip_shape(1600)),
    Bomb("gzip of zeros", _gzip),
    Bomb("trailers", _trailers, 2),
    Bomb("a chunk's name", _chunk_names),
    Bomb("chunks of a byte", lambda size: _one_byte_chunks(size // 4)),
    Bomb("headers", _headers, 2),
    Bomb("CONNECT", lambda size: _tunnels(size // 100), 4, frozenset({405})),
    Bomb("frames without bytes", lambda size: _frames(size // 4), 1, _OPENED,
         code=1009),
    Bomb("a frame of 2^54 bytes", lambda _: _frame_size(2**24), 1, _OPENED, code=1009),
    Bomb("pings", lambda size: _pings(size // 4), 1, _OPENED),
    Bomb("answers that nobody reads", lambda _: infer_request([[0.1234567, 0.7654321]] * 9000) * 40,
         12, frozenset({200, 503}), deaf_s=25.0),
)  # fmt: skip


async def throw(port: int, bomb: Bomb, size: int, outcome: Outcome) -> None:
    """Send one, from so many clients as it says, and count what came."""
    data = bomb.make(size)
    await asyncio.gather(*(_throw(port, bomb, data, outcome) for _ in range(bomb.at_once)))


async def _throw(port: int, bomb: Bomb, data: bytes, outcome: Outcome) -> None:
    is_stream = bomb.statuses == _OPENED
    async with Link(port) as link:
        sending = asyncio.create_task(link.send(data, patience_s=_PATIENCE_S))
        await asyncio.sleep(bomb.deaf_s)
        await link.read(
            first_s=_PATIENCE_S,
            then_s=2.0 if is_stream else _PATIENCE_S,
            num_statuses=0 if is_stream else 1,
        )
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    outcome.inputs += 1
    for status in link.statuses:
        outcome.add(status)
        if status not in bomb.statuses:
            outcome.findings.append(f"bomb: {bomb.name}: answered {status}")
    if not link.statuses and not link.is_over:
        outcome.findings.append(f"bomb: {bomb.name}: no answer in {_PATIENCE_S:g} s")
    if is_stream and link.close_code() != bomb.code:
        outcome.findings.append(f"bomb: {bomb.name}: closed with {link.close_code()}")
