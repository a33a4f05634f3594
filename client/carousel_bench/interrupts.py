"""Ctrl-C and SIGTERM, held back while something is done that may not be left half done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[None]:
    """What comes meanwhile is done at the end; the second time it comes it is done at once."""
    # Those that are ignored, or end the process without asking it, stay as they are.
    before = {number: found for number in _NUMBERS if callable(found := signal.getsignal(number))}
    came: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            before[signal.Signals(number)](number, frame)

    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        before[signal.Signals(came[0])](came[0], None)
