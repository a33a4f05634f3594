"""When a connection that waits for its client's next request is closed."""

import asyncio
import time
from collections.abc import Callable


class IdleTimer:
    """Of one connection. It is set once and looks at the clock when it fires: to set and cancel one
    for each request would cost more than the look.
    """

    def __init__(
        self, keep_alive_s: float, is_busy: Callable[[], bool], close: Callable[[], None]
    ) -> None:
        self._keep_alive_s = keep_alive_s
        self._is_busy = is_busy
        self._close = close
        self._answered_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<IdleTimer set={self._timer is not None}>"

    def answered(self) -> None:
        """From now on the client's next request is waited for."""
        self._answered_at = time.monotonic()
        if self._timer is None:
            self._set(self._keep_alive_s)

    def cancel(self) -> None:
        """The connection is gone, or another protocol's; neither holds the other any more."""
        if self._timer is not None:
            self._timer.cancel()
        del self._is_busy, self._close

    def _look(self) -> None:
        left = self._answered_at + self._keep_alive_s - time.monotonic()
        if self._is_busy():
            self._set(self._keep_alive_s)
        elif left > 0:
            self._set(left)
        else:
            self._close()

    def _set(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)
