"""Columns keep the rules of single steps, row by row, in each store and encoding.

Inputs are numbers and outputs running sums, so that a lost, doubled or strange step shows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from carousel.service.sessions.stores.base import Store
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.redis.store import RedisStore
from tests.harness.inside import Service
from tests.harness.redis_server import RedisServer
from tests.harness.rig import play
from tests.service.api.v1.columnar.asking import ENCODINGS, Asking, rig_on, sqlite_in, sums

Scenario = Callable[[Asking], Awaitable[None]]
Play = Callable[[Scenario], None]

IDS = ["a", "b", "c"]


@pytest.fixture(params=ENCODINGS, ids=["json", "tensors"])
def encoding(request: pytest.FixtureRequest) -> str:
    """Each encoding of columns."""
    found: str = request.param
    return found


@pytest.fixture(params=["memory", "sqlite", "redis"])
def around(request: pytest.FixtureRequest, encoding: str, tmp_path: Path) -> Play:
    """Runs a scenario around a service whose sessions are in the store."""

    async def run(scenario: Scenario) -> None:
        store: Store
        if request.param == "memory":
            store = MemoryStore(1 << 30)
        elif request.param == "sqlite":
            store = sqlite_in(tmp_path)
        else:
            store = RedisStore(url)
        rig = rig_on(store)
        async with Service(rig) as service:
            await scenario(Asking(service, encoding))
        await store.close()

    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        url = server.url
        with server.client() as client:
            client.flushall()
    return lambda scenario: play(lambda: run(scenario))


def test_rows_are_steps_of_their_sessions(around: Play) -> None:
    """A row goes on from the session's own state, with time, without and packed, and single steps
    go on from it.
    """

    async def scenario(asking: Asking) -> None:
        for each in IDS:
            await asking.service.open(each)
        bare = await asking.ask(IDS, [1, 10, 100])
        assert (sums(bare), bare.positions, bare.errors) == ([1, 10, 100], [1, 1, 1], {})
        timed = await asking.ask(["c", "a"], [[100, 1], [1, 1]])
        assert sums(timed) == [[200, 201], [2, 3]]
        assert timed.positions == [3, 3]
        packed = await asking.ask(IDS, [1, 1, 10, 2, 3, 4], lengths=[2, 1, 3])
        assert sums(packed) == [4, 5, 20, 203, 206, 210]
        assert packed.positions == [5, 2, 6]
        single = await asking.service.step("b", position=2)
        assert single.json() == {"outputs": [[21.0, 21.0]], "position": 3}
        assert bare.replayed == bare.opened == packed.replayed == []

    around(scenario)


def test_a_retry_is_answered_again_and_moves_nothing(around: Play) -> None:
    """Row by row, also of a single step's and as a single step; packed rows are one step each."""

    async def scenario(asking: Asking) -> None:
        for each in IDS:
            await asking.service.open(each)
        first = await asking.ask(IDS, [1, 1, 10, 2, 3, 4], lengths=[2, 1, 3], positions=[0, 0, 0])
        assert first.replayed == []
        await asking.service.step("b", position=1)
        again = await asking.ask(IDS, [1, 1, 10, 2, 3, 4], lengths=[2, 1, 3], positions=[0, 0, 0])
        assert (sums(again), again.replayed) == (sums(first), [0, 1, 2])
        assert again.positions == [2, 1, 3]
        (b,) = sums(await asking.ask(["b"], [1], positions=[2]))
        assert b == 12
        alone = await asking.service.step("a", [[1.0, 1.0], [1.0, 1.0]], position=0)
        assert alone.headers["carousel-replayed"] == "true"
        mixed = await asking.ask(["b", "a"], [[1], [1]], positions=[1, None])
        assert (sums(mixed), mixed.replayed, mixed.positions) == ([[11], [3]], [0], [2, 3])

    around(scenario)


def test_each_row_is_refused_by_itself(around: Play) -> None:
    """Another position, other inputs there, no session, a deleted one: the other rows run."""

    async def scenario(asking: Asking) -> None:
        for each in ("a", "b", "c", "gone"):
            await asking.service.open(each)
        await asking.ask(["a", "b"], [5, 6], positions=[0, 0])
        await asking.service.http.delete("/v1/sessions/gone")
        told = await asking.ask(
            ["a", "b", "c", "never", "gone"], [5, 9, 1, 1, 1], positions=[7, 0, 0, 0, None]
        )
        assert sums(told) == [None, None, 1, None, None]
        assert told.codes == {
            0: "position_conflict",
            1: "position_conflict",
            3: "session_not_found",
            4: "session_not_found",
        }
        assert [told.errors[row]["position"] for row in (0, 1)] == [1, 1]
        assert told.positions == [1, 1, 1, None, None]
        assert all(each["advanced"] is False for each in told.errors.values())

    around(scenario)


def test_open_starts_what_is_not_there(around: Play) -> None:
    """Unknown, expired and deleted sessions, of rows that name position 0 or none; not of those
    that name another. A retry that names position 0 is answered again.
    """

    async def scenario(asking: Asking) -> None:
        rig = asking.rig
        await asking.service.open("there")
        await asking.ask(["there"], [7])
        await rig.sessions.open("default", model="witness", session_id="old", ttl_s=1)
        rig.clock.now += 2
        ids = ["there", "old", "new", "far", "zero"]
        asked = {"positions": [None, None, None, 3, 0], "open": True, "ttl_s": 60}
        refused = await asking.ask(ids, [1, 1, 1, 1, 1], positions=[9, None, None, 3, 0])
        assert refused.codes == {
            0: "position_conflict",
            1: "session_expired",
            2: "session_not_found",
            3: "session_not_found",
            4: "session_not_found",
        }
        told = await asking.ask(ids, [1, 1, 2, 1, 3], **asked)
        assert sums(told) == [8, 1, 2, None, 3]
        assert (told.opened, told.codes) == ([1, 2, 4], {3: "session_not_found"})
        assert told.positions == [2, 1, 1, None, 1]
        again = await asking.ask(["zero"], [3], positions=[0], open=True)
        assert (sums(again), again.replayed, again.opened) == ([3], [0], [])
        info = await rig.sessions.info("default", "new")
        assert info.expires_at - info.last_used_at == 60

    around(scenario)


def test_two_requests_that_open_one_id_both_step_it(around: Play) -> None:
    """One after the other, whichever was first; nothing of either is lost."""

    async def scenario(asking: Asking) -> None:
        asks = (asking.ask(IDS, [1, 1, 1], open=True) for _ in range(2))
        one, two = await asyncio.gather(*asks)
        assert one.errors == two.errors == {}
        found = [sorted(pair) for pair in zip(sums(one), sums(two), strict=True)]
        assert found == [[1, 2]] * 3
        assert sorted(one.opened + two.opened) == [0, 1, 2]

    around(scenario)


def test_a_session_of_another_tenant_is_not_there(around: Play) -> None:
    """Nor opened over: the id is free for everybody."""

    async def scenario(asking: Asking) -> None:
        await asking.rig.open("a", tenant="other")
        told = await asking.ask(["a"], [1])
        assert told.codes == {0: "session_not_found"}
        assert sums(await asking.ask(["a"], [2], open=True)) == [2]
        assert (await asking.rig.sessions.info("other", "a")).position == 0

    around(scenario)
