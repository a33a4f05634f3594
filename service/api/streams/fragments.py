"""A message that comes in several frames, put together."""

import time

from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from carousel.service.api.streams.message import Frame
from carousel.service.errors import PayloadTooLarge

# A frame may be empty, so the size of a message does not bound the number of its frames.
MAX_FRAMES = 16_384


class Fragments:
    """The message under way, if there is one. Its size is the library's to bound."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._num_frames = 0
        self._is_text = False

    def __repr__(self) -> str:
        return f"<Fragments frames={self._num_frames} bytes={len(self._data)}>"

    @property
    def num_bytes(self) -> int:
        """What is held of the message."""
        return len(self._data)

    def add(self, frame: WebSocketFrame) -> Frame | None:
        """The message that this frame makes whole; raises PayloadTooLarge."""
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                return Frame(bytes(frame.data), self._is_text, time.monotonic())
        self._num_frames += 1
        if self._num_frames > MAX_FRAMES:
            raise PayloadTooLarge(f"a message may have {MAX_FRAMES} frames at most")
        self._data += frame.data
        if not frame.fin:
            return None
        data = bytes(self._data)
        self.clear()
        return Frame(data, self._is_text, time.monotonic())

    def clear(self) -> None:
        self._data = bytearray()
        self._num_frames = 0
