"""How other threads speak to an event loop."""

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("carousel.service")


def call_loop(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: object
) -> None:
    """Let the loop call back at its next turn, from any thread; nothing where it has ended."""
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        # It was closed under a server that is being killed: nobody is left to be told.
        log.warning("an answer came after the event loop had ended")
