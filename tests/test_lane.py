"""A thread that takes what there is, all at once: order, grouping, failures and the end."""

import logging
import threading
from collections.abc import Iterator

import pytest

from carousel.service.sessions.stores.lane import Lane
from tests.fakes import PATIENCE_S


class Desk:
    """Handles numbers, list by list; between `hold` and `go` it waits inside. A negative number is
    a defect.
    """

    def __init__(self) -> None:
        self.lists: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self._go = threading.Event()
        self._go.set()

    @property
    def handled(self) -> list[int]:
        """All numbers that were handled, in order."""
        return [number for numbers in self.lists for number in numbers]

    def hold(self) -> None:
        """Let the next lists wait."""
        self._go.clear()

    def go(self) -> None:
        """Let them go on."""
        self._go.set()

    def handle(self, numbers: list[int]) -> None:
        """What the lane calls."""
        self.entered.release()
        assert self._go.wait(PATIENCE_S)
        self.lists.append(numbers)
        if min(numbers) < 0:
            raise ValueError("a defect")


@pytest.fixture
def desk() -> Desk:
    """Who handles."""
    return Desk()


@pytest.fixture
def lane(desk: Desk) -> Iterator[Lane[int]]:
    """A lane to the desk, closed at the end."""
    lane = Lane("a lane", desk.handle)
    yield lane
    desk.go()
    lane.close()


def test_what_comes_in_meanwhile_makes_the_next_list(desk: Desk, lane: Lane[int]) -> None:
    """A lone job is handled at once; those behind it go together, in the order they were put."""
    desk.hold()
    lane.put(0)
    assert desk.entered.acquire(timeout=PATIENCE_S)
    for number in range(1, 6):
        lane.put(number)
    assert repr(lane) == "<Lane a lane waiting=5>"
    desk.go()
    assert desk.entered.acquire(timeout=PATIENCE_S)
    lane.close()
    assert desk.lists == [[0], [1, 2, 3, 4, 5]]


def test_the_end_comes_after_what_was_put(desk: Desk) -> None:
    """`close` waits until all of it was handled, also what waits behind a list in progress."""
    lane = Lane("a lane", desk.handle)
    desk.hold()
    lane.put(0)
    assert desk.entered.acquire(timeout=PATIENCE_S)
    lane.put(1)
    closing = threading.Thread(target=lane.close)
    closing.start()
    assert closing.is_alive()
    desk.go()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert desk.handled == [0, 1]


def test_an_empty_lane_ends(desk: Desk) -> None:
    """Nothing was put, and nothing is handled."""
    Lane("a lane", desk.handle).close()
    assert desk.lists == []


def test_threads_keep_their_order(desk: Desk, lane: Lane[int]) -> None:
    """Many put at once: each number is handled once, and each thread's in its order."""

    def put(first: int) -> None:
        for number in range(first, first + 1000):
            lane.put(number)

    threads = [threading.Thread(target=put, args=(1000 * index,)) for index in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE_S)
    lane.close()
    assert sorted(desk.handled) == list(range(8000))
    for index in range(8):
        ours = [number for number in desk.handled if number // 1000 == index]
        assert ours == sorted(ours)


def test_a_defect_ends_no_lane(
    desk: Desk, lane: Lane[int], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and what comes next is handled."""
    with caplog.at_level(logging.ERROR, "carousel.store"):
        for number in (-1, 2):
            lane.put(number)
            assert desk.entered.acquire(timeout=PATIENCE_S)
        lane.close()
    assert desk.handled == [-1, 2]
    assert "a lane failed" in caplog.text
