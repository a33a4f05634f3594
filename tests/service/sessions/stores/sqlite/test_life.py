"""How sessions in a file live and end over several processes: time, room in memory, versions."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from carousel.service.errors import (
    ModelMismatch,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    StateCorrupt,
)
from tests.harness.client import MODEL, Client, numbers, refused
from tests.harness.clocks import Clock
from tests.harness.durable import (
    TOMBSTONE_S,
    DurableRig,
    copy_models,
    expect_lstm,
    find_row,
    flip,
    open_session,
    serve_file,
)
from tests.harness.rig import play, sums, witness_engine, witness_model
from tests.harness.served import Served

GRU = "gru-10-20-2"


def test_the_time_to_live_goes_on_over_a_restart(tmp_path: Path) -> None:
    """It counts from the last step, not from the start of the process that finds the session."""

    async def scenario() -> None:
        clock = Clock()
        async with DurableRig(tmp_path / "s", clock, ttl_s=60) as rig:
            await rig.open("idle")
            await rig.open("fed")
            clock.now += 50
            await rig.step("fed", 1)
        clock.now += 11
        async with DurableRig(tmp_path / "s", clock, ttl_s=9999) as rig:
            with pytest.raises(SessionExpired):
                await rig.step("idle", 1)
            assert [each.session_id for each in (await rig.sessions.page("")).sessions] == ["fed"]
            assert sums(await rig.step("fed", 1)) == [2]
            clock.now += 59
            assert sums(await rig.step("fed", 1)) == [3]

    play(scenario)


def test_an_expired_session_is_gone_for_a_day_and_then_unknown(tmp_path: Path) -> None:
    """410 before and after the sweep and over restarts, 404 once its tombstone was dropped."""

    async def scenario() -> None:
        clock = Clock()
        async with DurableRig(tmp_path / "s", clock, ttl_s=60) as rig:
            await rig.open("s")
            await rig.open("kept")
        for wait_s in (61, 100, TOMBSTONE_S - 200):
            clock.now += wait_s
            async with DurableRig(tmp_path / "s", clock) as rig:
                for _ in range(2):
                    with pytest.raises(SessionExpired):
                        await rig.step("s", 1)
                    await rig.sessions.sweep()
        clock.now += 200
        async with DurableRig(tmp_path / "s", clock) as rig:
            await rig.sessions.sweep()
            with pytest.raises(SessionNotFound):
                await rig.step("s", 1)

    play(scenario)


@pytest.mark.parametrize("swept", [False, True])
def test_an_expired_id_is_opened_again(tmp_path: Path, swept: bool) -> None:
    """In the process that saw it expire and in the next; what comes is a session anew."""

    async def scenario() -> None:
        clock = Clock()
        async with DurableRig(tmp_path / "s", clock, ttl_s=60) as rig:
            await rig.open("s")
            await rig.step("s", 5)
            clock.now += 200
            if swept:
                await rig.sessions.sweep()
        async with DurableRig(tmp_path / "s", clock, ttl_s=60) as rig:
            await rig.open("s")
            with pytest.raises(SessionExists):
                await rig.open("s")
            assert sums(await rig.step("s", 7, position=0)) == [7]
            clock.now += 30
            await rig.sessions.sweep()
        async with DurableRig(tmp_path / "s", clock) as rig:
            assert sums(await rig.step("s", 7, position=0)) == [7]
            assert sums(await rig.step("s", 1)) == [8]

    play(scenario)


def test_a_damaged_session_is_deleted_and_opened_again(tmp_path: Path) -> None:
    """Its id is taken until it is deleted; then it is free, and nothing of the old one is left."""
    path = tmp_path / "s"

    async def before() -> None:
        async with DurableRig(path) as rig:
            await rig.open("s")
            await rig.step("s", 5)

    async def after() -> None:
        async with DurableRig(path) as rig:
            for call in (rig.step("s", 1), rig.open("s"), rig.sessions.reset("", "s")):
                with pytest.raises(StateCorrupt) as caught:
                    await call
                assert caught.value.hint is not None
            await rig.sessions.delete("", "s")
            with pytest.raises(SessionNotFound):
                await rig.info("s")
            await rig.open("s")
            assert sums(await rig.step("s", 7, position=0)) == [7]

    play(before)
    flip(path, find_row(path, 1).columns["head"] + 20)
    play(after)


def test_idle_sessions_leave_memory_and_come_back_as_they_were(tmp_path: Path) -> None:
    """The state is the same bits, whether it came from the pool or from the file."""

    async def scenario() -> None:
        async with DurableRig(tmp_path / "s") as rig:
            fed = [np.float32(each) for each in (1.5, 0.1, 3e-20, 7e20, 1e-44)]
            for index, number in enumerate(fed):
                await rig.open(f"s{index}")
                await rig.step(f"s{index}", float(number))
            assert rig.sessions.num_in_memory == len(fed)
            rig.clock.now += 61
            await rig.sessions.sweep()
            assert rig.sessions.num_in_memory == 0
            assert rig.engine.slots.num_taken == 0
            for index, number in enumerate(fed):
                read = await rig.sessions.read_state("", f"s{index}")
                assert read.state["h"].tobytes() == 2 * number.tobytes()
                assert sums(await rig.step(f"s{index}", 0.0, position=1)) == [float(number)]

    play(scenario)


def test_more_sessions_live_than_the_pool_has_slots(tmp_path: Path) -> None:
    """Forty sessions over four slots, all at once, again and again: each keeps its own sum."""

    async def scenario() -> None:
        ids = [f"s{index}" for index in range(40)]
        async with DurableRig(tmp_path / "s", num_slots=4) as rig:
            await asyncio.gather(*(rig.open(each) for each in ids))
            for turn in range(5):
                replies = await asyncio.gather(
                    *(rig.step(each, n, position=turn) for n, each in enumerate(ids))
                )
                assert [sums(each) for each in replies] == [
                    [n * (turn + 1)] for n in range(len(ids))
                ]
            assert rig.engine.slots.num_taken <= 4

    play(scenario)


def test_versions_come_and_go(repository: Path, served: dict[str, Served], tmp_path: Path) -> None:
    """The same weights exported again take a session over when its version is gone. One whose model
    is gone is refused, and can still be listed and deleted.
    """
    models, path = copy_models(repository, tmp_path / "models", MODEL, GRU), tmp_path / "s"
    x = numbers(3, 10)
    with serve_file(models, path) as live:
        open_session(live.client, "same")
        open_session(live.client, "pinned", version=1)
        open_session(live.client, "other", model=GRU)
        for each in ("same", "other"):
            Client(live.client, each).step(x)
    served[MODEL].export(models)
    shutil.rmtree(models / MODEL / "1")
    shutil.rmtree(models / GRU)
    with serve_file(models, path) as live:
        listed = live.client.get("/v1/sessions").json()["sessions"]
        found = [(each["session_id"], each["version"]) for each in listed]
        assert found == [("other", 1), ("pinned", 2), ("same", 2)]
        same, other = Client(live.client, "same"), Client(live.client, "other")
        again = same.post(x, position=0)
        assert again.headers["carousel-replayed"] == "true"
        expect_lstm(served, same.step(x, position=3)["outputs"], x, x)
        assert live.client.get(same.path).json()["version"] == 2
        refused(other.post(x), 409, "model_mismatch")
        refused(live.client.get(other.path), 409, "model_mismatch")
        assert live.client.delete(other.path).status_code == 204
        refused(live.client.get(other.path), 404, "session_not_found")


def test_a_state_of_other_weights_is_refused(tmp_path: Path) -> None:
    """Though the model's name, version and shapes are the same; deleting it frees its id."""

    async def before() -> None:
        async with DurableRig(tmp_path / "s") as rig:
            await rig.open("s")
            await rig.step("s", 5)

    async def after() -> None:
        async with DurableRig(tmp_path / "s") as rig:
            rig.serve(witness_model(witness_engine(), state_id="other weights"))
            await rig.engine.stop()
            for call in (rig.step("s", 1), rig.total("s"), rig.sessions.fork("", "s", count=1)):
                with pytest.raises(ModelMismatch):
                    await call
            await rig.sessions.delete("", "s")
            await rig.open("s")
            assert sums(await rig.step("s", 7, position=0)) == [7]

    play(before)
    play(after)
