"""Wrong clocks as what is around the sessions sees them: memory, HTTP, servers on one store."""

import asyncio

import pytest

from carousel.service.sessions.clock import GRACE_S
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.redis.store import RedisStore
from tests.harness.clocks import Machine
from tests.harness.fakes import FaultyStore
from tests.harness.inside import ONE, Service
from tests.harness.redis_server import RedisServer
from tests.harness.rig import Rig, play, sums

DAY_S = 86400.0
TTL_S = 60.0


def test_sessions_in_memory_leave_it_under_a_clock_that_was_set_back() -> None:
    """Their stamps lie ahead, and those behind them would have to wait for that time."""

    async def scenario() -> None:
        machine = Machine()
        clock = machine.clock()
        store = FaultyStore(MemoryStore(1 << 20, clock))
        async with Rig(store=store, ttl_s=9999.0, clock=clock) as rig:
            machine.set(3600)
            machine.wait(GRACE_S + 2, clock)
            await rig.open("a")
            await rig.step("a", 1)
            machine.set(-3600)
            machine.wait(GRACE_S + 2, clock)
            await rig.sessions.sweep()
            assert rig.sessions.num_in_memory == 0
            assert sums(await rig.step("a", 1)) == [2]

    play(scenario)


def test_over_http_a_wrong_clock_costs_nobody_a_session() -> None:
    """Ahead and behind, as clients see it; the health watch is what looks at the clock."""

    async def scenario() -> None:
        machine = Machine()
        clock = machine.clock()
        rig = Rig(store=FaultyStore(MemoryStore(1 << 20, clock)), ttl_s=TTL_S, clock=clock)
        async with Service(rig) as service:
            await service.open("s")
            for by_s in (7200.0, -7200.0, -2 * DAY_S, 2 * DAY_S):
                machine.set(by_s)
                for _ in range(3):
                    machine.wait(10)
                    await service.health.check()
                    await rig.sessions.sweep()
                    answer = await service.step("s", ONE)
                    assert answer.status_code == 200, answer.text
                    info = (await service.http.get("/v1/sessions/s")).json()
                    assert info["last_used_at"].startswith("1970-01-1"), info
            for _ in range(7):
                machine.wait(10)
                await service.health.check()
            assert (await service.step("s", ONE)).status_code == 410

    play(scenario)


def test_the_clock_of_a_shared_store_is_its_own(redis: RedisServer) -> None:
    """Asked again and again: servers whose machines are hours apart agree."""

    async def scenario() -> None:
        stores = [RedisStore(redis.url) for _ in range(2)]
        with redis.client() as client:
            seconds, microseconds = client.time()
        for store in stores:
            assert store.clock() == pytest.approx(seconds + microseconds / 1e6, abs=0.5)
            # As one would be whose machine is off.
            store.clock._offset += 1.5
            await store.ping()
            assert store.clock() == pytest.approx(client_time(redis), abs=0.1)
            await store.close()

    def client_time(server: RedisServer) -> float:
        with server.client() as client:
            seconds, microseconds = client.time()
        return float(seconds + microseconds / 1e6)

    asyncio.run(scenario())
