"""Tells an event loop what a store's thread has found."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from carousel.service.errors import StoreUnavailable

log = logging.getLogger("carousel.store")


def tell(futures: "Sequence[asyncio.Future[Any]]", results: Sequence[object]) -> None:
    """Resolve futures of one event loop from another thread, with one wake-up of the loop."""
    if not futures:
        return
    try:
        futures[0].get_loop().call_soon_threadsafe(_resolve, futures, results)
    except RuntimeError:
        # The event loop was closed under a server that is being killed: nobody is left to tell.
        log.warning("an answer of the store came after the event loop had ended")


def _resolve(futures: "Sequence[asyncio.Future[Any]]", results: Sequence[object]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, StoreUnavailable):
            # One of its own for everybody: where it is raised it gathers what it passed through.
            future.set_exception(StoreUnavailable(result.detail, hint=result.hint))
        elif isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
