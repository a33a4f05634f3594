"""What comes through a socket as targets: heads, and frames and messages of streams. Each input is
read whole and in two pieces, and both must come to the same.
"""

import base64
import time
import zlib
from contextlib import suppress

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from carousel.service.api.http.authenticator import Authenticator
from carousel.service.api.http.request_id import id_headers, request_id_of
from carousel.service.api.server.request_reader import RequestReader
from carousel.service.api.streams.call import is_stream, read_call, read_headers, with_key
from carousel.service.api.streams.fragments import Fragments
from carousel.service.api.streams.framing import Splitter
from carousel.service.api.streams.message import Frame as Message
from carousel.service.api.streams.message import NoStep, read_frame
from carousel.service.errors import CarouselError, PayloadTooLarge
from tests.harness.fuzz.models import CODECS
from tests.harness.fuzz.target import Broken, Target

_MAX_MESSAGE = 2000
_AUTHENTICATOR = Authenticator("")


def line_targets() -> tuple[Target, ...]:
    """Heads, frames, messages, calls of streams."""
    return (
        Target("head", _head, tuple(HEADS)),
        Target("frames", _frames, tuple(frame_seeds())),
        Target("message", _message, tuple(_message_seeds())),
        Target("call", _call, tuple(_call_seeds())),
    )


class _Taken:
    """What a reader told, as far as it must not depend on how the bytes came."""

    def __init__(self) -> None:
        self.events: list[tuple[str, bytes]] = []
        self.reader = RequestReader(self)

    def begin_request(self) -> None:
        head = self.reader.head
        target = b"%b %b %d" % (head.method, head.target, len(head.headers))
        self.events.append(("head", target))
        try:
            path, _, query = head.parts()
        except CarouselError as error:
            self.events.append(("refused", error.detail.encode()))
            return
        headers = dict(head.headers)
        id_headers(request_id_of(headers), headers)
        try:
            _AUTHENTICATOR.admit(headers)
            if is_stream(path):
                read_call(f"{path}?{query.decode('latin-1')}")
        except CarouselError as error:
            self.events.append(("refused", error.detail.encode()))

    def take_body(self, body: bytes) -> None:
        if self.events and self.events[-1][0] == "body":
            body = self.events.pop()[1] + body
        self.events.append(("body", body))

    def end_request(self) -> None:
        self.events.append(("end", b""))


def _read(*pieces: bytes) -> list[tuple[str, bytes]]:
    taken = _Taken()
    try:
        for piece in pieces:
            end = taken.reader.read(piece) if piece else None
            if end is not None:
                if not taken.reader.head.values(b"upgrade"):
                    taken.events.append(("upgrade", b""))
                taken.reader.read(taken.reader.decline_upgrade())
                break
    except CarouselError as error:
        taken.events.append(("refused", error.detail.encode()))
    finally:
        taken.reader.end()
    return taken.events


def _head(data: bytes) -> None:
    whole = _read(data)
    at = zlib.crc32(data) % (len(data) + 1)
    cut = _read(data[:at], data[at:])
    if whole != cut:
        raise Broken(f"cut at {at} it is {cut[-3:]}, and whole {whole[-3:]}"[:300])


def _messages(*pieces: bytes) -> tuple[list[tuple[bool, bytes]], int | None]:
    """The messages that come of frames, and the code that the library would close with."""
    websocket = ServerProtocol(state=State.OPEN, max_size=_MAX_MESSAGE)
    splitter, fragments = Splitter(_MAX_MESSAGE), Fragments()
    found: list[Message] = []
    for piece in pieces:
        for part in splitter.split(piece, 0.0):
            if isinstance(part, Message):
                if websocket.state is State.OPEN:
                    found.append(part)
                continue
            websocket.receive_data(part)
            for event in websocket.events_received():
                assert isinstance(event, Frame)
                if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    if websocket.state is not State.OPEN:
                        continue
                    message = fragments.add(event)
                    if message is not None:
                        found.append(message)
        websocket.data_to_send()
    sent = websocket.close_sent
    return [(each.is_text, each.data) for each in found], None if sent is None else sent.code


def _frames(data: bytes) -> None:
    at = zlib.crc32(data) % (len(data) + 1)
    try:
        whole, cut = _messages(data), _messages(data[:at], data[at:])
    except PayloadTooLarge:
        return
    one = Splitter(_MAX_MESSAGE).whole(data, 0.0)
    if one is not None and [(one.is_text, one.data)] != whole[0]:
        raise Broken("read as one message it is another than read as frames")
    if whole != cut:
        raise Broken(f"cut at {at} it is {cut}, and whole {whole}"[:300])


def _message(data: bytes) -> None:
    frame = Message(data[1:], bool(data[:1] != b"\0"), 0.0)
    must_name = data[:1] == b"\2"
    with suppress(NoStep):
        read_frame(frame, CODECS[0], time.monotonic() + 30, must_name=must_name)


def _call(data: bytes) -> None:
    path, _, rest = data.partition(b"\n")
    lines = [each.partition(b":") for each in rest.split(b"\n")]
    headers = read_headers((a.decode("latin-1"), c.decode("latin-1")) for a, _, c in lines)
    with_key(headers)
    text = path.decode("latin-1")
    if is_stream(text):
        read_call(text)


_BODY = b'{"inputs":[[1,2]]}'
_LINES = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
# Valid requests of every kind, for whoever wants them: here decoded, by `wire` sent.
HEADS = [
    b"POST /v1/sessions/fuzz/steps HTTP/1.1\r\n" + _LINES + b"Content-Length: 18\r\n\r\n" + _BODY,
    b"POST /v1/models/witness/infer HTTP/1.1\r\n" + _LINES
    + b'Transfer-Encoding: chunked\r\n\r\n5;a="b"\r\n{"seq\r\n1a\r\nuences":[[[1,2]],[[3,4]]]}\r\n0'
    b"\r\nX-Trailer: 1\r\nHost: evil\r\n\r\n",
    b"GET /v1/sessions?limit=2&model=witness HTTP/1.1\r\nHost: [::1]:80\r\nX-Request-ID: a\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
    b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    b"HEAD /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PUT /v1/sessions/fuzz/state HTTP/1.1\r\n" + _LINES
    + b'Content-Length: 36\r\nIf-Match: "a"\r\n\r\n{"state":{"h":[[0,0]]},"position":7} ',
    b"GET /v1/sessions/fuzz/stream?position=3&replies=binary HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: carousel.v1\r\n\r\n",
    b"POST /v1/steps HTTP/1.1\r\n" + _LINES + b"Expect: 100-continue\r\nContent-Length: 53\r\n"
    b'X-Request-Timeout-Ms: 900\r\n\r\n{"steps":[{"session_id":"fuzz","inputs":[[1.5,-2]] }]}',
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v2/models/witness/infer HTTP/1.1\r\n" + _LINES + b"Upgrade: h2c\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 79\r\n\r\n"
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1,2],"data":[1.25,-3.5]} ]}',
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n",
    b"DELETE /v1/sessions/%66uzz%2F%3f HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/sessions HTTP/1.1\r\n" + _LINES
    + b'Content-Length: 39\r\n\r\n{"model":"witness","session_id":"fuzz"}',
]  # fmt: skip


def _masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def frame_seeds() -> list[bytes]:
    """Frames of every kind as a client sends them."""
    text, values = b'{"inputs":[[1,2]],"position":0}', bytes(range(16))
    pieces = (
        _masked(Opcode.TEXT, text[:9], fin=False)
        + _masked(Opcode.PING, b"p")
        + _masked(Opcode.CONT, text[9:])
    )
    return [
        _masked(Opcode.TEXT, text),
        _masked(Opcode.BINARY, values) * 3,
        _masked(Opcode.BINARY, bytes(127)),
        _masked(Opcode.BINARY, bytes(200)) + _masked(Opcode.TEXT, text),
        pieces,
        b"\x82\xff" + (140).to_bytes(8, "big") + bytes(4) + bytes(140),
        _masked(Opcode.PONG, b"") + _masked(Opcode.TEXT, "\u00e9".encode()),
        _masked(Opcode.BINARY, bytes(_MAX_MESSAGE + 1)),
        _masked(Opcode.TEXT, text) + _masked(Opcode.CLOSE, Close(1000, "bye").serialize()),
    ]


def _message_seeds() -> list[bytes]:
    return [
        b'\1{"inputs":[[1,2],[3,4]],"position":4,"return_state":true,"commit":false}',
        b'\2{"position":4}',
        b'\1{"inputs":{"x":[[1,2]]}}',
        b"\0" + bytes(16),
    ]


def _call_seeds() -> list[bytes]:
    key = base64.urlsafe_b64encode(b"secret-secret-secret").rstrip(b"=")
    return [
        b"/v1/sessions/a%20b/stream?position=3&replies=text&dtype=float32\nhost: a",
        b"/v1/models/witness/stream?version=1&ttl_s=2.5&replies=binary\n"
        b"Sec-WebSocket-Protocol: carousel.v1\nSec-WebSocket-Protocol: bearer." + key,
    ]
