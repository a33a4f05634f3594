"""What befalls the replicas, their connections and their Redis while clients are at work."""

import asyncio
import random
from collections.abc import Callable, Sequence

from tests.harness.faulty_proxy import Fault, FaultyProxy
from tests.harness.redis_server import RedisServer
from tests.harness.replicas.replica import Replica
from tests.harness.replicas.tally import Tally

_MIN_PAUSE_S = 0.1
_KILL_SHARE = 0.15
_CALM_S = 1.0
_FAULTS = [fault for fault in Fault if fault is not Fault.SILENCE]
_COMMANDS = (b"EVALSHA", b"EVALSHA", b"GET")
_SLOW_S = 0.05
_SHORT_BLACK_S, _LONG_BLACK_S = 0.5, 6.0
_DOWN_S = 0.5


class Trouble:
    """`goes_on` says whether there is to be more. A replica is never started while its way to
    Redis is disturbed: it would refuse, as it should.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        proxies: Sequence[FaultyProxy],
        redis: RedisServer,
        rng: random.Random,
        tally: Tally,
        goes_on: Callable[[], bool],
    ) -> None:
        self._replicas = replicas
        self._proxies = proxies
        self._redis = redis
        self._rng = rng
        self._tally = tally
        self._goes_on = goes_on
        self._way = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Trouble {self._replicas!r}>"

    async def disturb_replicas(self, max_pause_s: float) -> None:
        """One at a time stands still for a while, or is killed and started again."""
        rng = self._rng
        while self._goes_on():
            await asyncio.sleep(rng.uniform(0, _CALM_S))
            replica = rng.choice(self._replicas)
            if self._tally.pauses > 1 and rng.random() < _KILL_SHARE:
                replica.kill()
                self._tally.kills += 1
                async with self._way:
                    await replica.start()
            else:
                await self._pause(replica, rng, max_pause_s)

    async def disturb_network(self) -> None:
        """One connection to Redis suffers after the other."""
        while self._goes_on():
            await asyncio.sleep(self._rng.uniform(0, _CALM_S / 2))
            async with self._way:
                await self._spoil(self._rng.choice(self._proxies))

    async def kill_redis(self, count: int, every_s: float) -> None:
        """kill -9 and a start on the same data, so often."""
        while self._goes_on() and self._tally.redis_kills < count:
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * every_s)
            async with self._way:
                await asyncio.to_thread(self._redis.kill)
                self._tally.redis_kills += 1
                await asyncio.sleep(self._rng.uniform(0, _DOWN_S))
                await asyncio.to_thread(self._redis.start)

    async def _pause(self, replica: Replica, rng: random.Random, max_pause_s: float) -> None:
        """Short ones most of the time."""
        pause_s = _MIN_PAUSE_S + (max_pause_s - _MIN_PAUSE_S) * rng.random() ** 2
        replica.pause()
        self._tally.pauses += 1
        try:
            await asyncio.sleep(pause_s)
        finally:
            replica.resume()

    async def _spoil(self, proxy: FaultyProxy) -> None:
        rng = self._rng
        kind = rng.randrange(8)
        if kind == 0:
            proxy.reset()
        elif kind == 1:
            proxy.half_close()
        elif kind == 2:
            proxy.slow(_SLOW_S)
        elif kind == 3:
            proxy.blacken()
        else:
            proxy.arm(rng.choice(_FAULTS), rng.choice(_COMMANDS))
        self._tally.faults += 1
        is_long = kind == 3 and rng.random() < 0.2
        await asyncio.sleep(rng.uniform(0, _LONG_BLACK_S if is_long else _SHORT_BLACK_S))
        proxy.heal()
