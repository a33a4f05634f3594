"""The memory store's limit: what it counts is what sessions take."""

import asyncio
import os
import tracemalloc

import numpy as np
import pytest

from service.sessions.record import Head, Origin, Record
from service.sessions.reply import add_reply
from service.sessions.stores.base import Write
from service.sessions.stores.memory import MemoryStore

NUM_SESSIONS = 2000


def _writes(num_replies: int) -> list[Write]:
    """New sessions with states of 320 bytes and replies of 80; nothing in them is shared."""
    writes: list[Write] = []
    for index in range(NUM_SESSIONS):
        replies = b""
        for base in range(num_replies):
            replies = add_reply(replies, base, base + 1, {}, {"output": np.zeros(20, np.float32)})
        key = ("default", os.urandom(16).hex())
        origin = Origin(key, "model", "state", 1.0 * index, 3600.0)
        head = Head(origin, 1, os.urandom(16), 1000 + index, 2.0 * index, replies)
        writes.append(Write(None, Record(head, os.urandom(320))))
    return writes


@pytest.mark.parametrize("num_replies", [0, 1, 8])
def test_the_store_counts_what_sessions_take(num_replies: int) -> None:
    """The bytes that the limit is held against are those that Python allocates, within a tenth."""
    store = MemoryStore(1 << 30)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        asyncio.run(store.write(_writes(num_replies)))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.nbytes == pytest.approx(after - before, rel=0.1)
