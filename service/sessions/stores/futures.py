"""Tells an event loop what a store's thread has found."""

import asyncio
from collections.abc import Sequence
from typing import Any

from carousel.service.errors import StoreUnavailable
from carousel.service.event_loop import call_loop


def tell(futures: "Sequence[asyncio.Future[Any]]", results: Sequence[object]) -> None:
    """Resolve futures of one event loop from another thread, with one wake-up of the loop."""
    if futures:
        call_loop(futures[0].get_loop(), _resolve, futures, results)


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
