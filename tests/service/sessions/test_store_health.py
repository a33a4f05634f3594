"""Whether the store is there: some seconds without an answer, never one blip."""

import asyncio
import logging

import pytest

from carousel.service.sessions.store_health import AWAY_S, StoreHealth
from tests.harness.clocks import Clock
from tests.harness.fakes import FaultyStore
from tests.harness.inside import Service, serve
from tests.harness.rig import play, until


class Pinged(FaultyStore):
    """Counts how often it is asked, takes for ever where it `hangs`, or fails as none should."""

    def __init__(self) -> None:
        super().__init__()
        self.pings = 0
        self.hangs = False
        self.broken = False

    async def ping(self) -> None:
        """As FaultyStore."""
        self.pings += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.broken:
            raise ZeroDivisionError
        await super().ping()


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged."""
    caplog.set_level(logging.INFO, "carousel")
    return caplog


def test_one_blip_changes_nothing(said: pytest.LogCaptureFixture) -> None:
    """A store that fails and answers again within some seconds was never away."""

    async def scenario() -> None:
        store, clock = FaultyStore(), Clock()
        watch = StoreHealth(store, clock)
        for _ in range(3):
            store.away = True
            await watch.check()
            clock.now += AWAY_S - 0.1
            assert watch.is_up
            store.away = False
            await watch.check()
            clock.now += 10
        assert watch.is_up
        assert said.messages == []

    play(scenario)


def test_away_and_back_are_told_once(said: pytest.LogCaptureFixture) -> None:
    """It is away after some seconds of failures, back at the first answer, each told once."""

    async def scenario() -> None:
        store, clock = FaultyStore(), Clock()
        watch = StoreHealth(store, clock)
        for _ in range(2):
            store.away = True
            for _ in range(9):
                await watch.check()
                clock.now += 1
            assert not watch.is_up
            store.away = False
            await watch.check()
            assert watch.is_up
        away, back = "the session store is away: the store is away", "the session store is back"
        assert said.messages == [away, back, away, back]

    play(scenario)


@pytest.mark.parametrize(("harm", "told"), [("hangs", "Timeout"), ("broken", "ZeroDivision")])
def test_a_store_that_does_not_answer_is_away(
    harm: str, told: str, said: pytest.LogCaptureFixture
) -> None:
    """One that takes the question and never answers is away, and so is one that fails oddly."""

    async def scenario() -> None:
        store, clock = Pinged(), Clock()
        watch = StoreHealth(store, clock, patience_s=0.01)
        setattr(store, harm, True)
        await watch.check()
        clock.now += AWAY_S
        assert not watch.is_up
        await watch.check()
        assert said.messages == [f"the session store is away: {told}Error"]
        setattr(store, harm, False)
        await watch.check()
        assert watch.is_up

    play(scenario)


def test_the_first_failure_is_no_blip() -> None:
    """A store that cannot be written when the service starts is away at once, and says why."""

    async def scenario() -> None:
        store, clock = FaultyStore(), Clock()
        store.away = True
        watch = StoreHealth(store, clock)
        await watch.begin()
        assert not watch.is_up
        assert watch.problem == "the store is away"
        store.away = False
        await watch.check()
        assert watch.is_up
        assert watch.problem is None
        store.away = True
        await watch.check()
        assert watch.is_up

    play(scenario)


def test_it_is_asked_again_and_again() -> None:
    """Whatever the store answers, it is asked again."""

    async def scenario() -> None:
        store = Pinged()
        watch = StoreHealth(store, Clock(), pause_s=0.0, patience_s=0.001)
        watching = asyncio.ensure_future(watch.watch())
        for harm in ("away", "broken", "hangs"):
            setattr(store, harm, True)
            seen = store.pings
            await until(lambda seen=seen: store.pings > seen + 2)  # type: ignore[misc]
            setattr(store, harm, False)
        watching.cancel()

    play(scenario)


def test_ready_only_with_the_store() -> None:
    """/readyz says 503 and why while the store is away, and recovers; /metrics shows it."""

    async def scenario(service: Service) -> None:
        async def ready() -> tuple[int, str]:
            await service.health.check()
            answer = await service.http.get("/readyz")
            problem = service.health.problem
            assert answer.json().get("reason") == problem
            assert (problem is None) == (answer.status_code == 200)
            return answer.status_code, answer.json()["status"]

        async def shown() -> bool:
            return "\ncarousel_store_up 1.0\n" in (await service.http.get("/metrics")).text

        store, clock = service.rig.store, service.rig.clock
        assert (await ready(), await shown()) == ((200, "ready"), True)
        store.away = True
        assert (await ready(), await shown()) == ((200, "ready"), True)
        clock.now += AWAY_S
        assert (await ready(), await shown()) == ((503, "store unavailable"), False)
        assert (await service.http.get("/livez")).status_code == 200
        store.away = False
        assert (await ready(), await shown()) == ((200, "ready"), True)

    serve(scenario)


def test_metrics_show_what_the_store_did() -> None:
    """Commits, their rows and their failures are those of the store."""

    async def scenario(service: Service) -> None:
        async def read(name: str) -> float:
            text = (await service.http.get("/metrics")).text
            (line,) = [each for each in text.splitlines() if each.startswith(name + " ")]
            return float(line.split()[1])

        names = [f"carousel_store_{each}" for each in ("commits_total", "rows_total")]
        before = [await read(each) for each in names]
        await service.open("s")
        for _ in range(3):
            await service.step("s")
        after = [await read(each) for each in names]
        assert [late - early for late, early in zip(after, before, strict=True)] == [3, 3]
        slowest = await read("carousel_store_slowest_commit_seconds")
        assert 0 < slowest <= await read("carousel_store_commit_seconds_total")
        assert await read("carousel_store_failures_total") == 0

    serve(scenario)
