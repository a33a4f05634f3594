"""A stream of steps through one session, as its caller holds it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

from carousel_client.codec import Outputs
from carousel_client.flow import Flow


class Stream(Iterator[Outputs]):
    """Outputs, one for each of the inputs; made by `Session.stream`. To be used by one thread.

    It begins when the first output is asked for. Another call on its session ends it, and so does
    letting go of it, as a loop does that is left early.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._thread = threading.get_ident()

    def __repr__(self) -> str:
        return f"<Stream {self._flow!r}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Outputs:
        self._thread = threading.get_ident()
        reply = self._flow.next_reply()
        if reply is None:
            raise StopIteration
        return reply.outputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Whose turn it is not, or another thread that only collects garbage, leaves it to the
        # session's next call.
        if not sys.is_finalizing() and threading.get_ident() == self._thread:
            with suppress(RuntimeError):
                self._flow.close()

    def close(self) -> None:
        """End the stream. What was sent ahead is still done: its outputs are dropped, and the
        session's `position` is behind it.
        """
        self._flow.close()
