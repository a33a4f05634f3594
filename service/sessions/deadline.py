"""Waiting that ends when a request's time is over."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from carousel.service.errors import DeadlineExceeded

_Found = TypeVar("_Found")


async def within(deadline: float, found: Awaitable[_Found], waited_for: str) -> _Found:
    """What comes of waiting until `deadline`, monotonic; raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await found
    except TimeoutError:
        raise DeadlineExceeded(f"the request waited for {waited_for} for too long") from None
