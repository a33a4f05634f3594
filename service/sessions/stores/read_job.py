"""Something to be read by a store's reading thread."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Source = TypeVar("Source")


@dataclass(slots=True, eq=False)
class ReadJob(Generic[Source]):
    """`run` is called with what the thread reads from, its connection or rows; `future` is told."""

    run: Callable[[Source], object]
    future: "asyncio.Future[Any]"
