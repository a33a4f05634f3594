"""An event loop whose timers are as exact as the machine's: asyncio's own come up to a millisecond
late on Linux, which is several times what a small step takes.
"""

import asyncio
import select
import selectors


class FineSelector(selectors.DefaultSelector):
    """epoll waits for whole milliseconds; select does not, and waits for the epoll itself."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


def make_loop() -> asyncio.AbstractEventLoop:
    """A new one."""
    if hasattr(selectors, "EpollSelector"):
        return asyncio.SelectorEventLoop(FineSelector())
    return asyncio.new_event_loop()
