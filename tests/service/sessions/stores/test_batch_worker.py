"""A thread that takes what there is, all at once: order, grouping, failures and the end."""

import logging
import threading
from collections.abc import Iterator

import pytest

from carousel.service.sessions.stores.batch_worker import BatchWorker
from tests.harness.fakes import PATIENCE_S


class Handler:
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
        """What the worker calls."""
        self.entered.release()
        assert self._go.wait(PATIENCE_S)
        self.lists.append(numbers)
        if min(numbers) < 0:
            raise ValueError("a defect")


@pytest.fixture
def handler() -> Handler:
    """Who handles."""
    return Handler()


@pytest.fixture
def worker(handler: Handler) -> Iterator[BatchWorker[int]]:
    """A worker to the handler, closed at the end."""
    worker = BatchWorker("a worker", handler.handle)
    yield worker
    handler.go()
    worker.close()


def test_what_comes_in_meanwhile_makes_the_next_list(
    handler: Handler, worker: BatchWorker[int]
) -> None:
    """A lone job is handled at once; those behind it go together, in the order they were put."""
    handler.hold()
    worker.put(0)
    assert handler.entered.acquire(timeout=PATIENCE_S)
    for number in range(1, 6):
        worker.put(number)
    assert repr(worker) == "<BatchWorker a worker waiting=5>"
    handler.go()
    assert handler.entered.acquire(timeout=PATIENCE_S)
    worker.close()
    assert handler.lists == [[0], [1, 2, 3, 4, 5]]


def test_the_end_comes_after_what_was_put(handler: Handler) -> None:
    """`close` waits until all of it was handled, also what waits behind a list in progress."""
    worker = BatchWorker("a worker", handler.handle)
    handler.hold()
    worker.put(0)
    assert handler.entered.acquire(timeout=PATIENCE_S)
    worker.put(1)
    closing = threading.Thread(target=worker.close)
    closing.start()
    assert closing.is_alive()
    handler.go()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert handler.handled == [0, 1]


def test_an_empty_lane_ends(handler: Handler) -> None:
    """Nothing was put, and nothing is handled."""
    BatchWorker("a worker", handler.handle).close()
    assert handler.lists == []


def test_threads_keep_their_order(handler: Handler, worker: BatchWorker[int]) -> None:
    """Many put at once: each number is handled once, and each thread's in its order."""

    def put(first: int) -> None:
        for number in range(first, first + 1000):
            worker.put(number)

    threads = [threading.Thread(target=put, args=(1000 * index,)) for index in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE_S)
    worker.close()
    assert sorted(handler.handled) == list(range(8000))
    for index in range(8):
        ours = [number for number in handler.handled if number // 1000 == index]
        assert ours == sorted(ours)


def test_a_defect_ends_no_lane(
    handler: Handler, worker: BatchWorker[int], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and what comes next is handled."""
    with caplog.at_level(logging.ERROR, "carousel.store"):
        for number in (-1, 2):
            worker.put(number)
            assert handler.entered.acquire(timeout=PATIENCE_S)
        worker.close()
    assert handler.handled == [-1, 2]
    assert "a worker failed" in caplog.text
