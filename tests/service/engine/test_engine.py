"""The door between the event loop and the engine's thread, with the witness behind it."""

import asyncio
import time
from collections.abc import Coroutine

import pytest

from carousel.service.engine.engine import Engine, Result
from carousel.service.engine.request import Request
from carousel.service.errors import (
    BackendFailed,
    CarouselError,
    DeadlineExceeded,
    ModelUnavailable,
    NonFiniteState,
    QueueFull,
)
from tests.harness.fakes import NanSlots, WitnessBackend
from tests.harness.rig import LAYOUT, play, sequence, settle, until, witness_engine

POISON, FATAL = -777.0, -999.0


def _soon() -> float:
    return time.monotonic() + 10


def _infer(engine: Engine, *values: float, state: bytes | None = None) -> "asyncio.Task[Result]":
    work: Coroutine[None, None, Result] = engine.infer(
        {"x": sequence(*values)}, len(values), deadline=_soon(), state=state, wants_state=True
    )
    return asyncio.ensure_future(work)


def _last(result: Result) -> float:
    return float(result.outputs["output"][-1, 0])


def _committing(*values: float) -> Request:
    return Request({"x": sequence(*values)}, len(values), _soon(), commits=True)


async def _errors(*tasks: "asyncio.Future[Result]") -> list[str]:
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each).__name__ for each in found]


def test_sequences_start_from_states_and_end_with_them() -> None:
    """Infer runs from a given row or initial values, and the state it ends with starts the next."""

    async def scenario() -> None:
        engine = witness_engine()
        engine.start()
        first = await _infer(engine, 1, 2, 3)
        second = await _infer(engine, 4, state=first.state)
        assert (_last(first), _last(second)) == (6, 10)
        assert LAYOUT.unpack(second.state or b"")["h"].tolist() == [[10, 10]]
        await engine.stop()

    play(scenario)


def test_many_run_in_few_slots() -> None:
    """With two slots forty sequences are all served, and every slot comes back."""

    async def scenario() -> None:
        engine = witness_engine(num_slots=2)
        engine.start()
        results = await asyncio.gather(*(_infer(engine, *[1] * n) for n in range(1, 41)))
        assert [_last(each) for each in results] == list(range(1, 41))
        assert isinstance(engine.slots, NanSlots)
        assert engine.slots.taken == set()
        await engine.stop()

    play(scenario)


def test_the_queue_is_bounded_in_requests() -> None:
    """One request too many is answered QueueFull at once; those before it are served."""

    async def scenario() -> None:
        backend = WitnessBackend()
        engine = witness_engine(backend, max_requests=3)
        engine.start()
        backend.hold()
        accepted = [_infer(engine, 1) for _ in range(3)]
        await settle()
        with pytest.raises(QueueFull):
            await _infer(engine, 1)
        backend.go()
        assert [_last(await each) for each in accepted] == [1, 1, 1]
        assert _last(await _infer(engine, 1)) == 1
        await engine.stop()

    play(scenario)


def test_the_queue_is_bounded_in_bytes() -> None:
    """Inputs beyond the byte limit are refused, and the bytes of answered requests are free."""

    async def scenario() -> None:
        backend = WitnessBackend()
        engine = witness_engine(backend, max_bytes=1000)
        engine.start()
        backend.hold()
        accepted = _infer(engine, *[1] * 100)  # 800 bytes
        await settle()
        with pytest.raises(QueueFull):
            await _infer(engine, *[1] * 50)
        backend.go()
        await accepted
        assert _last(await _infer(engine, *[1] * 50)) == 50
        await engine.stop()

    play(scenario)


def test_a_deadline_that_passed_is_told() -> None:
    """A request whose deadline passed before its run is answered DeadlineExceeded, not run."""

    async def scenario() -> None:
        backend = WitnessBackend()
        engine = witness_engine(backend)
        engine.start()
        with pytest.raises(DeadlineExceeded):
            await engine.infer({"x": sequence(1)}, 1, deadline=time.monotonic() - 1)
        assert backend.batches == []
        await engine.stop()

    play(scenario)


def test_a_client_that_left_costs_no_run() -> None:
    """A request that is cancelled while it waits is dropped, its slot is free, others go on."""

    async def scenario() -> None:
        backend = WitnessBackend()
        engine = witness_engine(backend, lanes=0)
        engine.start()
        backend.hold()
        running = _infer(engine, 1)
        await backend.entered()
        left, stays = _infer(engine, 50), _infer(engine, 3)
        await settle()
        left.cancel()
        await settle()
        backend.go()
        assert [_last(await running), _last(await stays)] == [1, 3]
        await engine.stop()
        assert all((x != 50).all() for x, _ in backend.seen)
        assert (engine.num_pending, engine.slots.num_taken) == (0, 0)

    play(scenario)


def test_a_client_that_leaves_during_the_run_harms_no_neighbour() -> None:
    """Answers of one batch are settled one by one."""

    async def scenario() -> None:
        backend = WitnessBackend()
        engine = witness_engine(backend)
        engine.start()
        backend.hold()
        first = _infer(engine, 9)
        await backend.entered()
        tasks = [_infer(engine, value) for value in (1, 2, 3)]
        await settle()
        backend.hold()
        backend.go()
        await first
        tasks[1].cancel()
        assert [_last(await tasks[0]), _last(await tasks[2])] == [1, 3]
        await engine.stop()

    play(scenario)


def test_each_of_a_batch_gets_its_own_answer() -> None:
    """A failing row, a poisoned state and a sound row are answered apart."""

    async def scenario() -> None:
        engine = witness_engine()
        engine.start()
        tasks = [_infer(engine, *values) for values in ((POISON,), (3e38, 3e38), (5,))]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], BackendFailed)
        assert isinstance(found[1], NonFiniteState)
        assert isinstance(found[2], Result)
        assert _last(found[2]) == 5
        await engine.stop()

    play(scenario)


def test_a_lost_device_answers_everyone_and_takes_nothing_new() -> None:
    """Running, queued and without a slot: all are told ModelUnavailable, and so is the next."""

    async def scenario() -> None:
        backend = WitnessBackend()
        # One run at a time: on a second lane what is queued would run beside the fatal one.
        engine = witness_engine(backend, num_slots=2, lanes=1)
        engine.start()
        backend.hold()
        tasks = [_infer(engine, FATAL)]
        await backend.entered()
        tasks += [_infer(engine, value) for value in range(5)]
        await settle()
        backend.go()
        assert await _errors(*tasks) == ["ModelUnavailable"] * 6
        assert engine.failed
        assert (engine.num_pending, engine.slots.num_taken) == (0, 0)
        with pytest.raises(ModelUnavailable):
            await _infer(engine, 1)
        await engine.stop()

    play(scenario)


def test_a_lost_device_does_not_belie_a_commit_under_way() -> None:
    """What the store is writing when the device is lost gets the store's answer, not an error."""

    async def scenario() -> None:
        engine = witness_engine()
        held: list[Request] = []
        engine.commit = lambda requests, deliver: held.extend(requests)
        engine.start()
        committing = engine.submit(_committing(4))
        await until(lambda: held)
        assert await _errors(_infer(engine, FATAL)) == ["ModelUnavailable"]
        assert not committing.done()
        engine._deliver(held)
        assert (await committing).outputs["output"][0, 0] == 4
        await engine.stop()

    play(scenario)


def test_a_commit_that_raises_leaves_nobody_waiting() -> None:
    """Should the store's commit raise after all, its steps are told that the outcome is unknown."""

    async def scenario() -> None:
        engine = witness_engine()

        def broken(requests: list[Request], deliver: object) -> None:
            raise OSError("the store broke its promise")

        engine.commit = broken
        engine.start()
        with pytest.raises(CarouselError) as caught:
            await engine.submit(_committing(1))
        assert caught.value.advanced == "unknown"
        await engine.stop()

    play(scenario)


def test_stop_answers_all_that_was_accepted() -> None:
    """A drain runs what was queued, also what waits for a slot, and refuses what comes after."""

    async def scenario() -> None:
        backend = WitnessBackend()
        engine = witness_engine(backend, num_slots=2)
        engine.start()
        backend.hold()
        tasks = [_infer(engine, *[1] * n) for n in (1, 40, 1, 90, 3)]
        await settle()
        stopping = asyncio.ensure_future(engine.stop())
        await settle()
        with pytest.raises(ModelUnavailable):
            await _infer(engine, 1)
        backend.go()
        await stopping
        assert [_last(each.result()) for each in tasks] == [1, 40, 1, 90, 3]

    play(scenario)


def test_a_fault_in_settling_one_leaves_nobody_waiting() -> None:
    """Should what follows a request fail, it and its neighbours are answered, and stop ends."""

    async def scenario() -> None:
        def broken(request: Request) -> None:
            raise KeyError("a fault of our own")

        await witness_engine().stop()  # before the start: nothing to do
        engine = witness_engine()
        engine.start()
        request = Request({"x": sequence(1)}, 1, _soon(), on_done=broken)
        done, neighbour = engine.submit(request), _infer(engine, 2)
        assert (await done).outputs["output"][0, 0] == 1
        assert _last(await neighbour) == 2
        await engine.stop()

    play(scenario)
