"""The frames that nearly all messages are, without the library's parser; the rest is left to it.

A message of a stream is small, whole and in one frame, and of what such a step took a quarter went
into generators that are made for every other case as well. Source: RFC 6455, section 5.2.
"""

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library comes without its C part on some platforms
    from websockets.utils import apply_mask

from carousel.service.api.streams.message import Frame

_TEXT, _BINARY, _CONTINUATION, _CONTROL = 0x1, 0x2, 0x0, 0x8
_FIN, _OPCODE, _MASKED, _SIZE = 0x80, 0x0F, 0x80, 0x7F
# An opcode of data, the last of its message, no extension.
_WHOLE_TEXT, _WHOLE_BINARY = _FIN | _TEXT, _FIN | _BINARY
_SIZE_16, _SIZE_64 = 126, 127


class Splitter:
    """Tells whole messages from all else that a client sends, which goes to the library as it is.

    It follows where frames begin and whether a message in fragments is under way; what is wrong
    with a frame the library finds. `max_bytes`: larger messages are the library's to refuse.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # The beginning of a frame whose header is not whole yet.
        self._part = b""
        # What the library lacks of the frame that it was given the beginning of.
        self._owed = 0
        # And what it has of it: it keeps a frame that is not whole.
        self.num_unfinished = 0
        self._in_fragments = False

    def __repr__(self) -> str:
        return f"<Splitter part={len(self._part)} owed={self._owed} fragments={self._in_fragments}>"

    def whole(self, data: bytes, arrived: float) -> Frame | None:
        """The message, where the data is one in one frame and nothing else, as it nearly always is;
        None where `split` has to look.
        """
        if len(data) < 6 or self._in_fragments or self._owed or self._part:
            return None
        first, second = data[0], data[1]
        size, start = second - _MASKED, 6
        if size == _SIZE_16:
            size, start = int.from_bytes(data[2:4], "big"), 8
        elif size == _SIZE_64:
            return None
        if len(data) != start + size or size > self._max_bytes:
            return None
        if first not in (_WHOLE_BINARY, _WHOLE_TEXT):
            return None
        message = apply_mask(data[start:], data[start - 4 : start])
        return Frame(message, first == _WHOLE_TEXT, arrived)

    def split(self, data: bytes, arrived: float) -> list[Frame | bytes]:
        """Whole messages, and between them the bytes that are the library's, in order."""
        found: list[Frame | bytes] = []
        if self._part:
            data = self._part + data
            self._part = b""
        at, end = 0, len(data)
        while at < end:
            if self._owed:
                stop = min(end, at + self._owed)
                self._owed -= stop - at
                self.num_unfinished = self.num_unfinished + stop - at if self._owed else 0
                found.append(data[at:stop])
                at = stop
                continue
            payload = _payload(data, at, end)
            if payload is None:
                self._part = data[at:]
                break
            start, stop = payload
            if stop <= end and self._is_message(data, at, stop - start):
                message = apply_mask(data[start:stop], data[start - 4 : start])
                found.append(Frame(message, data[at] == _WHOLE_TEXT, arrived))
                at = stop
            else:
                self._follow(data[at])
                self._owed = stop - at
        return found

    def _is_message(self, data: bytes, at: int, size: int) -> bool:
        return (
            data[at] in (_WHOLE_BINARY, _WHOLE_TEXT)
            and data[at + 1] >= _MASKED
            and size <= self._max_bytes
            and not self._in_fragments
        )

    def _follow(self, first: int) -> None:
        """Note whether a message in fragments goes on behind a frame."""
        if not first & _CONTROL:
            self._in_fragments = not first & _FIN


def frame_header(size: int, *, is_text: bool) -> bytes:
    """What comes in front of a whole message of `size` bytes from the server."""
    first = _WHOLE_TEXT if is_text else _WHOLE_BINARY
    if size < _SIZE_16:
        return first.to_bytes(1, "big") + size.to_bytes(1, "big")
    if size < 1 << 16:
        return bytes((first, _SIZE_16)) + size.to_bytes(2, "big")
    return bytes((first, _SIZE_64)) + size.to_bytes(8, "big")


def _payload(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `at` begins and would end; None until the header is
    whole.
    """
    if end - at < 2:
        return None
    second = data[at + 1]
    size = second & _SIZE
    start = at + (6 if second & _MASKED else 2)
    if size == _SIZE_16:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        start += 2
    elif size == _SIZE_64:
        size = int.from_bytes(data[at + 2 : at + 10], "big")
        start += 8
    return (start, start + size) if start <= end else None
