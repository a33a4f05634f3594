"""How sessions end, move and are told apart: expiry, versions, tenants, tags, a full store."""

import asyncio
from contextlib import suppress

import pytest

from carousel.service.errors import (
    ModelMismatch,
    ModelNotFound,
    PreconditionFailed,
    SessionExists,
    SessionExpired,
    SessionLimit,
    SessionNotFound,
)
from carousel.service.sessions.stores.memory import MemoryStore
from tests.harness.fakes import FaultyStore
from tests.harness.rig import Rig, play, sums, witness_engine, witness_model

DAY_S = 86400.0


def test_an_idle_session_expires_for_a_day_and_is_then_unknown() -> None:
    """410 after the time to live, before and after the sweep; 404 a day later."""

    async def scenario() -> None:
        async with Rig(ttl_s=60) as rig:
            await rig.open("s")
            await rig.step("s", 1)
            rig.clock.now += 61
            with pytest.raises(SessionExpired):
                await rig.step("s", 1)
            with pytest.raises(SessionExpired):
                await rig.info("s")
            rig.clock.now += 3600
            await rig.sessions.sweep()
            with pytest.raises(SessionExpired):
                await rig.step("s", 1)
            rig.clock.now += DAY_S
            await rig.sessions.sweep()
            with pytest.raises(SessionNotFound):
                await rig.step("s", 1)
            assert rig.engine.slots.num_taken == 0

    play(scenario)


def test_steps_and_state_writes_slide_the_time_to_live_and_nothing_else_does() -> None:
    """A read, a look, a replay and a fork leave a session as old as it was."""

    async def scenario() -> None:
        async with Rig(ttl_s=60) as rig:
            await rig.open("s")
            rig.clock.now += 50
            await rig.step("s", 1, position=0)
            rig.clock.now += 50
            read = await rig.sessions.read_state("", "s")
            await rig.sessions.write_state("", "s", read.state, 1)
            rig.clock.now += 50
            await rig.step("s", 1, position=1)
            rig.clock.now += 50
            await rig.step("s", 1, position=1)
            await rig.step("s", 1, commit=False)
            await rig.info("s")
            await rig.sessions.fork("", "s", count=2)
            rig.clock.now += 11
            with pytest.raises(SessionExpired):
                await rig.step("s", 1)

    play(scenario)


def test_an_expired_or_deleted_id_may_be_opened_again() -> None:
    """The new session begins anew, whether the old one was swept, deleted or merely late."""

    async def scenario() -> None:
        async with Rig(ttl_s=60) as rig:
            for swept in (False, True):
                await rig.open("s")
                assert sums(await rig.step("s", 3)) == [3]
                rig.clock.now += 200
                if swept:
                    await rig.sessions.sweep()
            await rig.open("s")
            await rig.step("s", 3)
            await rig.sessions.delete("", "s")
            with pytest.raises(SessionNotFound):
                await rig.info("s")
            await rig.open("s")
            assert sums(await rig.step("s", 4, position=0)) == [4]

    play(scenario)


def test_the_sweep_leaves_a_grace() -> None:
    """A session that expired a moment ago is not swept: a step admitted before may still run."""

    async def scenario() -> None:
        async with Rig(ttl_s=60) as rig:
            await rig.open("s")
            rig.backend.hold()
            admitted = asyncio.ensure_future(rig.step("s", 2))
            await rig.backend.entered()
            rig.clock.now += 61
            await rig.sessions.sweep()
            rig.backend.go()
            assert sums(await admitted) == [2]
            assert sums(await rig.step("s", 3)) == [5]

    play(scenario)


def test_a_taken_id_answers_with_its_session() -> None:
    """Opening twice: 409 with the SessionInfo; the session that is there is untouched."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 1)
            with pytest.raises(SessionExists) as caught:
                await rig.open("s")
            session = caught.value.fields["session"]
            assert isinstance(session, dict)
            assert (session["session_id"], session["position"]) == ("s", 1)
            assert sums(await rig.step("s", 1)) == [2]

    play(scenario)


def test_two_who_open_the_same_id_at_once_get_one_session() -> None:
    """Exactly one of many concurrent opens succeeds."""

    async def scenario() -> None:
        async with Rig() as rig:
            found = await asyncio.gather(*(rig.open("s") for _ in range(5)), return_exceptions=True)
            assert sorted(type(each).__name__ for each in found) == ["SessionExists"] * 4 + ["str"]

    play(scenario)


def test_a_session_of_another_tenant_answers_as_one_never_there() -> None:
    """Word for word: nothing of the answer tells whether somebody else has the id."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s", tenant="a")
            await rig.step("s", 5, tenant="a")
            said = []
            for session_id in ("s", "7"):
                with pytest.raises(SessionNotFound) as caught:
                    await rig.step(session_id, 1, tenant="b")
                error = caught.value
                said.append((error.detail.replace(repr(session_id), "?"), error.hint, error.fields))
            assert said[0] == said[1]
            await rig.open("s", tenant="b")
            assert sums(await rig.step("s", 1, tenant="b")) == [1]
            assert sums(await rig.step("s", 1, tenant="a")) == [6]
            page = await rig.sessions.page("b")
            assert [each.position for each in page.sessions] == [1]

    play(scenario)


def test_server_made_ids_are_long_and_differ() -> None:
    """At least 128 random bits each."""

    async def scenario() -> None:
        async with Rig() as rig:
            ids = {(await rig.sessions.open("", model="witness")).session_id for _ in range(50)}
            assert len(ids) == 50
            assert all(len(each) >= 32 for each in ids)

    play(scenario)


def test_the_list_has_pages() -> None:
    """Live sessions in order of id, of one model if asked, each exactly once; the expired not."""

    async def scenario() -> None:
        async with Rig(ttl_s=60) as rig:
            await rig.open("gone")
            rig.clock.now += 61
            ids = [await rig.open(f"s{n:02}") for n in range(7)]
            seen: list[str] = []
            after: str | None = None
            while True:
                page = await rig.sessions.page("", limit=3, after=after)
                seen += [each.session_id for each in page.sessions]
                after = page.next
                if after is None:
                    break
            assert seen == ids
            assert (await rig.sessions.page("", model="another")).sessions == ()

    play(scenario)


def test_if_match_guards_writes() -> None:
    """The tag of a read holds until the session moves; then 412 and nothing is written."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            old = (await rig.sessions.read_state("", "s")).etag
            assert old == (await rig.sessions.read_state("", "s")).etag
            await rig.step("s", 5)
            new = await rig.sessions.read_state("", "s")
            assert new.etag != old
            for call in (
                rig.sessions.reset("", "s", if_match=old),
                rig.sessions.write_state("", "s", new.state, 3, if_match=f'"x", {old}'),
                rig.sessions.delete("", "s", if_match=old),
            ):
                with pytest.raises(PreconditionFailed):
                    await call
            assert await rig.total("s") == 5
            await rig.sessions.write_state("", "s", new.state, 3, if_match=f"{old}, {new.etag}")
            with pytest.raises(PreconditionFailed):
                await rig.sessions.reset("", "s", if_match=new.etag)
            await rig.sessions.delete("", "s", if_match="*")

    play(scenario)


def test_another_version_of_the_same_weights_takes_over() -> None:
    """The session's version is gone: the highest of the same state_id goes on, and is named."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 5)
            same = witness_model(witness_engine(), version=2)
            other = witness_model(witness_engine(), version=3, state_id="other weights")
            rig.serve(same, other)
            info = await rig.info("s")
            assert (info.version, info.position) == (2, 1)
            assert sums(await rig.step("s", 1, position=1)) == [6]
            assert (await rig.store.record("s")).meta.version == 2
            await rig.engine.stop()

    play(scenario)


def test_a_session_of_weights_that_are_gone_is_a_mismatch() -> None:
    """Its state fits no served model: 409, it is refused and not loaded; opened anew it works."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 5)
            rig.serve(witness_model(witness_engine(), version=2, state_id="other weights"))
            with pytest.raises(ModelMismatch):
                await rig.step("s", 1)
            with pytest.raises(ModelNotFound):
                await rig.open("t", model="no such model")
            await rig.open("t")
            assert sums(await rig.step("t", 1)) == [1]
            await rig.engine.stop()

    play(scenario)


def test_a_full_memory_store_refuses_sessions_and_not_steps() -> None:
    """429 for what is new, nothing is evicted, and sessions that are there go on."""

    async def scenario() -> None:
        async with Rig(store=FaultyStore(MemoryStore(2500))) as rig:
            opened: list[str] = []
            with suppress(SessionLimit):
                while len(opened) < 100:
                    opened += [await rig.open(f"s{len(opened)}")]
            assert 1 < len(opened) < 6
            with pytest.raises(SessionLimit):
                await rig.sessions.fork("", "s0", count=1)
            for turn in range(1, 10):
                for each in opened:
                    assert sums(await rig.step(each, 1)) == [turn]
            for each in opened:
                await rig.sessions.delete("", each)
            await rig.open("again")

    play(scenario)
