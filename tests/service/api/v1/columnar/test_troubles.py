"""What befalls rows of columns while they run is each row's own: stores, models, deadlines."""

import asyncio
from contextlib import suppress

import numpy as np
import pytest

from carousel.service.sessions.stores.memory import MemoryStore
from tests.harness.fakes import FaultyStore
from tests.harness.inside import SETTINGS
from tests.harness.rig import Rig, settle, witness_engine, witness_model
from tests.service.api.v1.columnar.asking import (
    ENCODINGS,
    JSON,
    Asking,
    ask_witness,
    open_all,
    sums,
)

IDS = ["a", "b", "c"]
ONES = np.ones((3, 2), np.float32)

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=["json", "tensors"])


@each_encoding
def test_a_full_store_refuses_what_it_has_no_room_for(encoding: str) -> None:
    """Rows that would start a session: 429 each; those that are there go on."""

    async def scenario(asking: Asking) -> None:
        await open_all(asking.service, "there")
        ids = ["there", *(f"n{number}" for number in range(40))]
        told = await asking.ask(ids, [1] * 41, open=True)
        assert told.positions[0] == 1
        assert set(told.codes.values()) == {"session_limit"}
        assert 0 < len(told.opened) < 40
        assert len(told.opened) + len(told.errors) == 40
        assert not set(told.opened) & set(told.errors)

    # Room for some sessions and not for all: a session of the witness takes about a kilobyte.
    ask_witness(scenario, encoding, Rig(store=FaultyStore(MemoryStore(20_000))))


@each_encoding
def test_a_session_of_another_model_is_its_rows_fault(encoding: str) -> None:
    """409 model_mismatch; one of another version that takes the same goes on at its own."""

    async def scenario(asking: Asking) -> None:
        rig = asking.rig
        other = witness_model(witness_engine(rig.backend), name="other")
        newer = witness_model(witness_engine(rig.backend), version=2, state_id="w2")
        rig.serve(rig.model, other, newer)
        await rig.open("o", tenant="default", model="other")
        await rig.sessions.open("default", model="witness", version=1, session_id="one")
        await rig.sessions.open("default", model="witness", session_id="two")
        told = await asking.ask(["o", "one", "two"], [1, 1, 1])
        assert (told.codes, sums(told)) == ({0: "model_mismatch"}, [None, 1, 1])
        assert told.positions == [0, 1, 1]
        await asking.ask(["new"], [1], open=True, version=1)
        assert (await rig.sessions.info("default", "new")).version == 1

    ask_witness(scenario, encoding)


@each_encoding
def test_the_deadline_covers_the_looking_up(encoding: str) -> None:
    """A store that does not answer: 504 for each row that is not in memory, opened or not."""
    store = FaultyStore()

    async def scenario(asking: Asking) -> None:
        await open_all(asking.service, "known")
        assert (await asking.ask(["known"], [1])).errors == {}
        store.answers = asyncio.Event()
        for asked in ({"open": True}, {}):
            told = await asking.ask(["known", "cold"], [1, 1], late_ms=80, **asked)
            assert told.codes[1] == "deadline_exceeded"
        store.answers.set()
        assert (await asking.ask(["cold"], [1], open=True)).errors == {}

    ask_witness(scenario, encoding, Rig(store=store))


@each_encoding
def test_rows_leave_room_in_the_queue(encoding: str) -> None:
    """A request has no more in it than its part, so that none is refused for its own others, and
    neither is another client's step.
    """

    async def scenario(asking: Asking) -> None:
        engine, backend = asking.rig.engine, asking.rig.backend
        ids = [f"s{number}" for number in range(3000)]
        await asking.ask(ids, [1] * 3000, open=True)
        backend.hold()
        asked = asyncio.ensure_future(asking.ask(ids, [[1, 1]] * 3000))
        await backend.entered()
        await settle(1000)
        assert not asked.done()
        assert 0 < engine.num_pending <= SETTINGS.queue_requests // 4
        assert engine.slots.num_taken <= 3000 + SETTINGS.queue_requests // 4
        backend.go()
        told = await asked
        assert told.errors == {}
        assert told.positions == [3] * 3000

    ask_witness(scenario, encoding, Rig(max_requests=SETTINGS.queue_requests, num_slots=8192))


def test_a_lost_answer_of_the_store_is_said_of_each_row() -> None:
    """`advanced` is unknown, and the same request with positions is safe to send again."""
    store = FaultyStore()

    async def scenario(asking: Asking) -> None:
        await open_all(asking.service, *IDS)
        store.lose = "after"
        told = await asking.ask(IDS, [1, 1, 1], positions=[0, 0, 0])
        assert set(told.codes.values()) == {"store_unavailable"}
        assert all(each["advanced"] == "unknown" for each in told.errors.values())
        again = await asking.ask(IDS, [1, 1, 1], positions=[0, 0, 0])
        assert (sums(again), again.positions) == ([1, 1, 1], [1, 1, 1])

    ask_witness(scenario, JSON, Rig(store=store))


def test_a_row_that_the_program_fails_on_costs_its_neighbours_nothing() -> None:
    """500 for it alone."""

    async def scenario(asking: Asking) -> None:
        await open_all(asking.service, *IDS)
        told = await asking.ask(IDS, [1, asking.rig.backend.poison, 1])
        assert (told.codes, sums(told)) == ({1: "backend_failed"}, [1, None, 1])

    ask_witness(scenario, JSON)


@each_encoding
def test_a_client_that_leaves_takes_its_rows_along(encoding: str) -> None:
    """What waits is not run, what runs is committed, and nothing is held."""

    async def scenario(asking: Asking) -> None:
        rig = asking.rig
        ids = [f"s{number}" for number in range(40)]
        await open_all(asking.service, *ids)
        rig.backend.hold()
        asked = asyncio.ensure_future(asking.ask(ids, [1] * 40))
        await rig.backend.entered()
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        rig.backend.go()
        # The session of each row that did run stands behind it: a second step says so.
        told = await asking.ask(ids, [1] * 40)
        assert told.errors == {}
        assert sums(told) == told.positions
        assert 1 in told.positions
        assert asking.service.app.budget.held_bytes == 0

    # Four rows a run: most of them wait.
    ask_witness(scenario, encoding, Rig(num_slots=64, max_rows=4))
