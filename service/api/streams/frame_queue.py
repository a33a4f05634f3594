"""The frames of a stream that wait to be begun, and what they make the client and the budget do."""

from collections import deque
from collections.abc import Callable

from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.streams.message import Frame
from carousel.service.api.streams.services import StreamServices

# A client may have eight frames unanswered as it counts; what is on the wire may be as many again.
_MAX_FRAMES = 16
# What a frame takes beside its data, about.
_FRAME_BYTES = 128


class FrameQueue:
    """First in, first out. While it is full, `hold_back(True)` keeps the client from sending more.

    The budget is told what the frames take that wait or run, where it is much.
    """

    def __init__(self, services: StreamServices, hold_back: Callable[[bool], None]) -> None:
        self._services = services
        self._hold_back = hold_back
        self._frames: deque[Frame] = deque()
        self._waiting_bytes = 0
        self._running_bytes = 0
        # What the budget has been told.
        self._counted_bytes = 0
        self._held_back = False

    def __repr__(self) -> str:
        return f"<FrameQueue waiting={len(self._frames)} held_back={self._held_back}>"

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> None:
        """A frame has to wait."""
        self._frames.append(frame)
        self._waiting_bytes += len(frame.data) + _FRAME_BYTES
        if self._waiting_bytes >= COUNTED_BYTES:
            self._count()
        if self._is_full:
            self._held_back = True
            self._hold_back(True)

    def take(self) -> Frame:
        """The frame that has waited longest."""
        frame = self._frames.popleft()
        self._waiting_bytes -= len(frame.data) + _FRAME_BYTES
        if self._held_back and not self._is_full:
            self._held_back = False
            self._hold_back(False)
        return frame

    def clear(self) -> int:
        """None of them will be begun; how many there were."""
        count = len(self._frames)
        self._frames.clear()
        self._waiting_bytes = 0
        if self._counted_bytes:
            self._count()
        return count

    def began(self, frame: Frame) -> None:
        """A frame runs, whether it had to wait or not."""
        self._running_bytes = len(frame.data)
        if self._running_bytes >= COUNTED_BYTES:
            self._count()

    def finished(self) -> None:
        """The frame that ran is answered."""
        self._running_bytes = 0
        if self._counted_bytes:
            self._count()

    @property
    def _is_full(self) -> bool:
        return (
            len(self._frames) >= _MAX_FRAMES
            or self._waiting_bytes > self._services.max_message_bytes
            or (self._waiting_bytes >= COUNTED_BYTES and not self._services.budget.has_room)
        )

    def _count(self) -> None:
        held = self._waiting_bytes + self._running_bytes
        if held < COUNTED_BYTES:
            held = 0
        self._services.budget.add(held - self._counted_bytes)
        self._counted_bytes = held
