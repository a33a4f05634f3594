"""The sessions in memory: which stay, which are given up, in what order."""

import asyncio

from carousel.service.sessions.resident_sessions import MAX_HEAVY_BYTES, ResidentSessions
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta
from tests.harness.rig import Rig, play, sequence, sums, witness_engine, witness_model


def test_sessions_without_a_slot_stay_for_a_while_only() -> None:
    """However many sessions were busy at once, those without a slot are 1,024 at most."""

    async def scenario() -> None:
        async with Rig(num_slots=2) as rig:
            ids = [await rig.open(f"s{n}") for n in range(1500)]
            await asyncio.gather(*(rig.step(each, 1) for each in ids))
            assert rig.sessions.num_in_memory <= 1024 + 2
            replies = await asyncio.gather(*(rig.step(each, 2) for each in ids))
            assert all(sums(reply) == [3] for reply in replies)

    play(scenario)


def test_the_least_recently_used_are_given_up_first() -> None:
    """Each stranger that needs a slot takes that of the session that was idle longest."""

    async def scenario() -> None:
        async with Rig(num_slots=6) as rig:
            for each in "abcde":
                await rig.open(each)
                await rig.step(each, 1)
            await rig.step("a", 1)
            rig.backend.hold()
            strangers = []
            for gone in ("", "b", "bc"):
                work = rig.engine.infer({"x": sequence(1)}, 1, deadline=float("inf"))
                strangers.append(asyncio.ensure_future(work))
                await asyncio.sleep(0)
                there = {each for each in "abcde" if rig.sessions.peek("", each) is not None}
                assert there == set("abcde") - set(gone)
            rig.backend.go()
            await asyncio.gather(*strangers)
            assert sums(await rig.step("b", 1)) == [2]

    play(scenario)


def test_a_session_in_use_takes_the_slot_of_one_that_is_not() -> None:
    """A pool full of idle sessions has a slot for the next that steps, one request at a time."""

    async def scenario() -> None:
        async with Rig(num_slots=4) as rig:
            for each in "abcd":
                await rig.open(each)
                await rig.step(each, 1)
            newest = rig.sessions.peek("", "d")
            assert newest is not None
            assert newest.slot >= 0
            assert rig.sessions.peek("", "a") is None

    play(scenario)


def test_the_sessions_of_a_retired_model_leave_its_pool() -> None:
    """Its idle sessions are given up at once and go on in the model that takes over."""

    async def scenario() -> None:
        async with Rig() as rig:
            for each in "abc":
                await rig.open(each)
                await rig.step(each, 1)
            rig.serve(witness_model(witness_engine(), version=2))
            assert rig.engine.slots.num_taken == 0
            for each in "abc":
                assert sums(await rig.step(each, 1)) == [2]
            await rig.engine.stop()

    play(scenario)


def test_large_replies_do_not_pile_up_in_memory() -> None:
    """Of idle sessions whose replies are large, those stay that were used last, up to a limit."""
    table, loaded = ResidentSessions(), witness_model(witness_engine())
    replies = bytes(1 << 20)
    many = 2 * MAX_HEAVY_BYTES // len(replies)
    for number in range(many):
        identity = SessionIdentity(("", f"s{number}"), "witness", "w", 0.0, 3600.0)
        meta = SessionMeta(identity, 1, b"r" * 16, 1, 0.0, replies)
        table.add(Session(meta, loaded, bytes(8)))
        used = table.get(("", "s0"))
        assert used is not None
        table.wake(used)
        table.rest(used)
    assert len(table) == many // 2
    assert table.get(("", f"s{many - 1}")) is not None
    assert table.get(("", "s1")) is None


def test_a_model_that_is_retired_during_a_step_is_let_go() -> None:
    """A session that was busy when its model went leaves memory with its step."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("a")
            rig.backend.hold()
            step = asyncio.ensure_future(rig.step("a", 1))
            await rig.backend.entered()
            rig.serve()
            rig.backend.go()
            assert sums(await step) == [1]
            assert rig.sessions.num_in_memory == 0
            assert rig.engine not in rig.sessions.cache.resident._resting

    play(scenario)
