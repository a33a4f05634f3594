"""A phase, driven by one process."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from carousel_bench.load.arrivals import Arrivals
from carousel_bench.load.lane import Lane
from carousel_bench.load.phase import Ended, Phase
from carousel_bench.load.recorder import Recorder
from carousel_bench.load.traffic import ClosedTraffic, OpenTraffic
from carousel_bench.load.work import Job, Work
from carousel_bench.tally import Tally
from carousel_client.endpoint import Endpoint

# How long after the end what was due before it may still be sent, and then replies may take.
SEND_S = 1.0
GRACE_S = 10.0
# A server that nobody could connect to for so long is gone.
_GONE_S = 3.0
_TICK_S = 0.25
_CONNECTING = 64
_KINDS_DRAWN = 4096


@dataclass(frozen=True, slots=True)
class Parent:
    """Who is told what was counted, and says when to stop."""

    tell: Callable[[dict[int, Tally]], None]
    is_stopped: Callable[[], bool]


async def drive(job: Job, endpoint: Endpoint, phase: Phase, parent: Parent) -> Ended:
    """Do it, with a connection for each lane; raises CannotConnect."""
    recorder = Recorder({each: job.num_steps(each) for each in job.kinds}, by_due=bool(phase.rate))
    work = Work(job, endpoint, phase.seed)
    rng = np.random.default_rng(phase.seed)
    lanes = [
        Lane(
            endpoint,
            {kind: work.source(kind, seat) for kind in job.kinds},
            _draw_kinds(job, rng),
            recorder,
        )
        for seat in phase.seats
    ]
    arrivals = None if phase.rate is None else Arrivals(phase.rate, phase.seed)
    traffic = ClosedTraffic() if arrivals is None else OpenTraffic(arrivals, recorder)
    try:
        for start in range(0, len(lanes), _CONNECTING):
            await asyncio.gather(
                *(each.join(traffic) for each in lanes[start : start + _CONNECTING])
            )
        gc.collect()
        gc.disable()
        begin = time.monotonic()
        end = begin + phase.warmup_s + phase.seconds
        recorder.begin(begin + phase.warmup_s)
        traffic.start(lanes, begin)
        return await _follow(lanes, traffic, recorder, parent, end)
    finally:
        gc.enable()
        traffic.stop()
        for each in lanes:
            each.close()


async def _follow(
    lanes: list[Lane],
    traffic: ClosedTraffic | OpenTraffic,
    recorder: Recorder,
    parent: Parent,
    end: float,
) -> Ended:
    began, cpu_began = time.monotonic(), time.process_time()
    seen_up = began
    is_gone = stopped = False
    while (now := time.monotonic()) < end and not (stopped or is_gone):
        await asyncio.sleep(min(_TICK_S, end - now))
        parent.tell(recorder.take())
        stopped = parent.is_stopped()
        if any(each.is_up for each in lanes):
            seen_up = now
        is_gone = now - seen_up > _GONE_S
    share = (time.process_time() - cpu_began) / (time.monotonic() - began)
    end = min(end, time.monotonic())

    async def wait(until: float, is_over: Callable[[], bool]) -> None:
        while time.monotonic() < until:
            if is_over() or is_gone or parent.is_stopped():
                return
            await asyncio.sleep(_TICK_S / 10)

    await wait(end + SEND_S, lambda: traffic.end(end))
    traffic.leave()
    await wait(time.monotonic() + GRACE_S, lambda: not any(each.is_busy for each in lanes))
    for each in lanes:
        each.give_up()
    parent.tell(recorder.take())
    return Ended(share, is_gone)


def _draw_kinds(job: Job, rng: np.random.Generator) -> Iterator[str]:
    """Each kind once, and then as they are drawn by weight."""
    if len(job.kinds) == 1:
        return _forever([job.kinds[0]])
    weights = np.array(job.weights) / sum(job.weights)
    drawn = rng.choice(job.kinds, _KINDS_DRAWN, p=weights)
    return chain(job.kinds, _forever([str(each) for each in drawn]))


def _forever(kinds: list[str]) -> Iterator[str]:
    while True:
        yield from kinds
