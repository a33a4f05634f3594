"""Streams of the Python client: how far they run ahead, how they end, who may interrupt them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from carousel_client import Client
from carousel_client.errors import ConnectionLost, TakenOver
from tests.client import MODEL
from tests.client_rig import Run, X, close, run_eager
from tests.live import PATIENCE_S, Live

if TYPE_CHECKING:
    from tests.served import Served


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """A client of the service, without a key."""
    with Client(live.url, retry_s=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def whole(served: "dict[str, Served]") -> Run:
    """The eager LSTM over X."""
    return run_eager(served)


def test_streams_take_inputs_no_earlier_than_they_may(client: Client) -> None:
    """ahead=1 takes an input when the output before it was given; otherwise eight at most wait."""
    taken: list[int] = []

    def source() -> Iterator[Any]:
        for index in range(24):
            taken.append(index)
            yield X[index : index + 1]

    with client.session(MODEL) as session:
        for num_given, _ in enumerate(session.stream(source(), ahead=1), 1):
            assert len(taken) == num_given == session.position
        session.reset()
        taken.clear()
        for num_given, _ in enumerate(session.stream(source()), 1):
            assert num_given <= len(taken) <= num_given + 8
            assert session.position == num_given
    for ahead in (0, 9):
        with pytest.raises(ValueError, match="expected 1 to 8"):
            session.stream([], ahead=ahead)


def test_a_stream_that_is_left_early_leaves_no_gap(client: Client, whole: Run) -> None:
    """What was sent ahead is done, the position is behind it, and the next step goes on there."""
    taken: list[int] = []

    def source() -> Iterator[Any]:
        for index in range(24):
            taken.append(index)
            yield X[index : index + 1]

    with client.session(MODEL) as session:
        for _ in session.stream(source()):
            break
        found = session.step(X[len(taken) :])
        assert session.position == 24
        close(found, whole.output[len(taken) :])
        session.reset()
        taken.clear()
        with session.stream(source()) as stream:
            next(stream)
        assert session.position == len(taken)
        assert list(stream) == []


def test_a_call_between_ends_the_stream_and_says_so(client: Client) -> None:
    """A loop whose outputs were given up does not end as if it had seen all."""
    with client.session(MODEL) as session:
        stream = session.stream(X[:, None])
        next(stream)
        session.state()
        with pytest.raises(RuntimeError, match="ended this stream"):
            next(stream)


def test_two_calls_at_once_are_refused(client: Client) -> None:
    """A session has one call at a time."""
    with client.session(MODEL) as session:

        def source() -> Iterator[Any]:
            yield X[:1]
            session.step(X[:1])

        with pytest.raises(RuntimeError, match="another call on this session"):
            list(session.stream(source(), ahead=1))
        assert session.position == 1


def test_an_error_of_the_source_is_the_callers(client: Client) -> None:
    """It comes through, even if it looks like a lost connection; what was sent before is done."""
    with client.session(MODEL) as session:

        def source() -> Iterator[Any]:
            yield X[:1]
            raise ConnectionLost("the microphone")

        with pytest.raises(ConnectionLost, match="the microphone"):
            list(session.stream(source()))
        session.step(X[1:])
        assert session.position == 24


def test_a_newer_stream_takes_over(client: Client) -> None:
    """The older one is told, and does not take the session back."""
    with client.session(MODEL) as session:
        older = session.stream(X[:, None], ahead=1)
        next(older)
        newer = client.attach(session.id).stream(X[:, None], ahead=1)
        next(newer)
        with pytest.raises(TakenOver):
            next(older)
        next(newer)
        newer.close()
        assert session.info().position == 3
