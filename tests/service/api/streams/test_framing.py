"""Messages found without the library are those that the library finds, however bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from carousel.service.api.streams.framing import Splitter, frame_header
from carousel.service.api.streams.message import Frame as StreamFrame

MAX_BYTES = 70_000
SIZES = st.sampled_from([0, 1, 2, 17, 125, 126, 127, 300, 65_535, 65_536])
OPCODES = st.sampled_from([Opcode.TEXT, Opcode.BINARY])


@st.composite
def message_frames(draw: st.DrawFn) -> list[Frame]:
    """One message, whole or in pieces, with pings in between; or a ping alone."""
    kind = draw(OPCODES)
    pieces = [b"%d" % draw(st.integers(0, 9)) * draw(SIZES) for _ in range(draw(st.integers(0, 3)))]
    frames = []
    for row, piece in enumerate(pieces):
        opcode = kind if row == 0 else Opcode.CONT
        frames.append(Frame(opcode, piece, fin=row == len(pieces) - 1))
        if draw(st.booleans()):
            frames.append(Frame(Opcode.PING, b"ping"))
    return frames or [Frame(Opcode.PONG, b"")]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in parts, cut at the places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


def read_by_library(protocol: Protocol, data: bytes) -> list[tuple[Opcode, bytes, bool]]:
    """What the library makes of bytes that a client sent."""
    protocol.receive_data(data)
    return [
        (event.opcode, bytes(event.data), event.fin)
        for event in protocol.events_received()
        if isinstance(event, Frame)
    ]


def found_in(pieces: list[bytes]) -> list[tuple[Opcode, bytes, bool]]:
    """What both together make of bytes that come in pieces, in order."""
    splitter, library = Splitter(MAX_BYTES), Protocol(SERVER, state=State.OPEN, max_size=None)
    found: list[tuple[Opcode, bytes, bool]] = []
    for piece in pieces:
        message = splitter.whole(piece, 0.0)
        for part in splitter.split(piece, 0.0) if message is None else [message]:
            if isinstance(part, StreamFrame):
                kind = Opcode.TEXT if part.is_text else Opcode.BINARY
                found.append((kind, part.data, True))
            else:
                found += read_by_library(library, part)
    assert library.parser_exc is None
    return found


@given(st.lists(message_frames(), max_size=6), st.lists(st.integers(0, 400_000), max_size=12))
def test_every_frame_arrives_once_and_in_order(
    messages: list[list[Frame]], places: list[int]
) -> None:
    """Cut anywhere, whole messages and the library's frames together are what was sent."""
    frames = [frame for message in messages for frame in message]
    sent = [(frame.opcode, bytes(frame.data), frame.fin) for frame in frames]
    data = b"".join(frame.serialize(mask=True) for frame in frames)
    assert found_in(cut(data, places)) == sent


KINDS = {
    "ping": [Frame(Opcode.PING, b"ping")],
    "pong": [Frame(Opcode.PONG, b"")],
    "close": [Frame(Opcode.CLOSE, Close(1000, "bye").serialize())],
    "pieces": [Frame(Opcode.TEXT, b"1" * 200, fin=False), Frame(Opcode.CONT, b"2" * 127)],
    **{
        f"{opcode.name} of {size}": [Frame(opcode, b"7" * size)]
        for opcode in (Opcode.TEXT, Opcode.BINARY)
        for size in (0, 1, 2, 119, 125, 126, 127, 128, 133, 300, 65_535, 65_536)
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_of_every_kind_of_frame_gives_the_same(kind: str) -> None:
    """Wherever the network cuts, also amid a header, a frame is the same; another comes behind."""
    frames = [*KINDS[kind], Frame(Opcode.BINARY, b"behind")] if kind != "close" else KINDS[kind]
    sent = [(frame.opcode, bytes(frame.data), frame.fin) for frame in frames]
    data = b"".join(frame.serialize(mask=True) for frame in frames)
    # All of a short one; of a long one those near its ends and about as long as other sizes.
    places = {place for place in range(len(data)) if place < 700 or place > len(data) - 50}
    for place in places:
        assert found_in([data[:place], data[place:]]) == sent, place
    assert found_in([data[place : place + 1] for place in range(min(700, len(data)))]) == (
        sent if len(data) <= 700 else []
    )


@given(OPCODES, SIZES)
def test_the_server_s_frames_are_the_library_s(opcode: Opcode, size: int) -> None:
    """A header and its payload are what the library would have sent."""
    data = bytes(size)
    header = frame_header(size, is_text=opcode is Opcode.TEXT)
    assert header + data == Frame(opcode, data).serialize(mask=False)


def test_a_whole_message_does_not_wait_for_the_library() -> None:
    """A small message in one frame is found at once, unmasked."""
    data = Frame(Opcode.BINARY, b"\1\2\3").serialize(mask=True)
    expected = StreamFrame(b"\1\2\3", False, 0.0)
    assert Splitter(MAX_BYTES).split(data, 0.0) == [expected]
    assert Splitter(MAX_BYTES).whole(data, 0.0) == expected


def test_what_is_wrong_goes_to_the_library() -> None:
    """Frames without a mask, with an extension, too large, or inside a message in pieces."""
    whole = Frame(Opcode.BINARY, b"abc")
    first = Frame(Opcode.TEXT, b"abc", fin=False).serialize(mask=True)
    wrong = [
        whole.serialize(mask=False),
        b"\xc2" + whole.serialize(mask=True)[1:],
        Frame(Opcode.BINARY, bytes(MAX_BYTES + 1)).serialize(mask=True),
        first + whole.serialize(mask=True),
    ]
    for data in wrong:
        assert Splitter(MAX_BYTES).whole(data, 0.0) is None
        parts = Splitter(MAX_BYTES).split(data, 0.0)
        assert all(isinstance(part, bytes) for part in parts)
        assert b"".join(bytes(part) for part in parts if isinstance(part, bytes)) == data
        library = Protocol(SERVER, state=State.OPEN, max_size=MAX_BYTES)
        read_by_library(library, data)
        assert library.parser_exc is not None
