"""The memory store's limit: what it counts is what sessions take."""

import asyncio
import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from carousel.service.errors import ReplyNotKept
from carousel.service.sessions.positions import find_repeat
from carousel.service.sessions.recorded_reply import (
    add_reply,
    digest,
    num_replies,
    shed_replies,
    unpack_replies,
)
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Write
from carousel.service.sessions.stores.memory import MemoryStore

NUM_SESSIONS = 2000


def _writes(num_replies: int) -> list[Write]:
    """New sessions with states of 320 bytes and replies of 80; nothing in them is shared."""
    writes: list[Write] = []
    for index in range(NUM_SESSIONS):
        replies = b""
        for base in range(num_replies):
            replies = add_reply(replies, base, base + 1, {}, {"output": np.zeros(20, np.float32)})
        key = ("default", os.urandom(16).hex())
        identity = SessionIdentity(key, "model", "state", 1.0 * index, 3600.0)
        meta = SessionMeta(identity, 1, os.urandom(16), 1000 + index, 2.0 * index, replies)
        writes.append(Write(None, SessionRecord(meta, os.urandom(320))))
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


def _steps(num_bytes: int) -> tuple[MemoryStore, list[SessionRecord]]:
    """A store of 50 sessions, full, and the records after a step of each with so long a reply."""
    store = MemoryStore(100_000)
    after: list[SessionRecord] = []

    async def scenario() -> None:
        writes = _writes(1)[:50]
        await store.write(writes)
        for each in writes:
            before = each.record.meta
            outputs = {"output": np.zeros(num_bytes, np.uint8)}
            replies = add_reply(before.replies, 1, 2, {}, outputs)
            meta = replace(before, revision=os.urandom(16), replies=replies)
            after.append(SessionRecord(meta, each.record.state))
            store.commit([Write(before.revision, after[-1])], lambda outcomes: None)

    asyncio.run(scenario())
    return store, after


def test_a_full_store_holds_on_to_small_replies_alone() -> None:
    """Beyond its limit it takes 4 KiB a session at most, whatever steps answer; a reply that is
    larger is known of, and its outputs are not kept.
    """
    store, records = _steps(1 << 20)
    assert store.nbytes < 100_000 + 50 * (4 << 10)
    (last,) = unpack_replies(records[-1].meta.replies)
    assert (last.base, last.position, last.outputs, last.digest) == (1, 2, None, digest({}))
    with pytest.raises(ReplyNotKept):
        find_repeat(
            replace(records[-1].meta, position=2),
            1,
            lambda: digest({}),
            commit=True,
            return_state=False,
        )


def test_a_full_store_answers_the_last_small_step_again() -> None:
    """That is recorded always; the ones before it are not while there is no room."""
    store, records = _steps(4 << 10)
    assert store.nbytes > 100_000
    (last,) = unpack_replies(records[-1].meta.replies)
    assert last.outputs is not None
    assert (last.nbytes, last.outputs["output"].tolist()) == (4 << 10, [0] * (4 << 10))
    assert store.nbytes < 100_000 + 50 * (5 << 10)


def test_a_store_with_room_sheds_nothing() -> None:
    """Small replies are kept beside one another as long as there is room."""
    _, records = _steps(8)
    assert [num_replies(each.meta.replies) for each in records] == [2] * 50


def test_shedding_leaves_what_is_shed_already() -> None:
    """Nothing recorded, or one reply that is small or was not kept: it stays as it is."""
    small = add_reply(b"", 0, 1, {}, {"output": np.zeros(9)})
    large = shed_replies(add_reply(small, 1, 2, {}, {"output": np.zeros(9999)}))
    for each in (b"", small, large):
        assert shed_replies(each) == each
