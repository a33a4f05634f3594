"""Streams of the Python client: how far they run ahead, how they end, who may interrupt them."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carousel_client import Client
from carousel_client.errors import ConnectionLost, InvalidRequest, TakenOver
from tests.client.client_rig import F, Run, X, close, run_eager
from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S

if TYPE_CHECKING:
    from tests.harness.served import Served

# The first the client refuses, the second the server.
WRONG = (X[3:4, :9], np.full((1, F), np.nan, np.float32))


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


@pytest.mark.parametrize("ahead", [8, 1])
@pytest.mark.parametrize("wrong", WRONG)
def test_an_input_that_fails_comes_after_the_outputs_before_it(
    client: Client, whole: Run, wrong: Any, ahead: int
) -> None:
    """Whoever refuses it: what was done before is given, and `position` says how much it was. The
    stream is over then.
    """
    with client.session(MODEL) as session:
        stream = session.stream([X[:1], X[1:3], wrong, X[3:]], ahead=ahead)
        for begin, end in ((0, 1), (1, 3)):
            close(next(stream), whole.output[begin:end])
        with pytest.raises(InvalidRequest):
            next(stream)
        assert session.position == 3
        assert list(stream) == []
        assert session.info().position == 3
        close(session.step(X[3:]), whole.output[3:])


@pytest.mark.parametrize("ahead", [8, 1])
def test_a_source_that_fails_gives_its_error_after_the_outputs(
    client: Client, whole: Run, ahead: int
) -> None:
    """An error of the source is no reason to lose the outputs of what it gave before."""

    def source() -> Iterator[Any]:
        yield X[:1]
        yield X[1:3]
        raise ZeroDivisionError

    with client.session(MODEL) as session:
        found: list[Any] = []
        with pytest.raises(ZeroDivisionError):
            found.extend(session.stream(source(), ahead=ahead))
        close(np.concatenate(found), whole.output[:3])
        assert session.position == 3
        assert session.info().position == 3


def test_a_loop_that_is_left_leaves_the_position_right(
    client: Client, live: Live, whole: Run
) -> None:
    """By `break` or by an error of the loop's own: `position` is behind what was sent ahead, with
    no call between.
    """
    with client.session(MODEL) as session, Client(live.url) as stranger:
        for _ in session.stream(X[:, None]):
            break
        done = session.position
        assert done == stranger.attach(session.id).position > 1
        close(session.step(X[done:]), whole.output[done:])
        session.reset()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 -- the loop is what is tested
            for _ in session.stream(X[:, None]):
                raise ZeroDivisionError
        assert session.position == stranger.attach(session.id).position > 1


def test_a_stream_that_is_held_goes_on_after_a_break(client: Client, whole: Run) -> None:
    """As an iterator does; nothing is lost between two loops over it."""
    with client.session(MODEL) as session:
        stream = session.stream(X[:, None])
        found = []
        for y in stream:
            found.append(y)
            break
        assert session.position == 1
        found += stream
        close(np.concatenate(found), whole.output)


def test_a_stream_let_go_by_another_thread_is_not_lost(client: Client, whole: Run) -> None:
    """The session's next call ends it in its place."""
    with client.session(MODEL) as session:
        held = [session.stream(X[:, None])]
        next(held[0])
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join(PATIENCE_S)
        assert not held
        done = session.info().position
        assert done > 1
        close(session.step(X[done:]), whole.output[done:])


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
