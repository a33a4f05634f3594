"""When the Python client tries again, and for how long: the rule, and what a server sees of it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from carousel_client import Client
from carousel_client.errors import (
    BadAnswer,
    CarouselError,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    PositionConflict,
    RateLimited,
    SessionLimit,
    StoreUnavailable,
    Unavailable,
)
from carousel_client.problem import read_problem
from carousel_client.retry import Retry
from tests.client.client_script import answer_of, problem_of, scripted
from tests.harness.process import PATIENCE_S

PASSING = (ConnectionLost, Draining, StoreUnavailable, SessionLimit, RateLimited, DeadlineExceeded)


def test_waits_grow_to_a_bound() -> None:
    """Each wait is drawn from the upper half of one that doubles up to the most."""
    for jitter, share in ((lambda: 0.0, 0.5), (lambda: 1.0, 1.0)):
        attempts = Retry(1000.0, 0.1, 0.5, jitter=jitter).begin(0.0)
        waits = [attempts.wait_s(ConnectionLost("x"), 0.0) for _ in range(5)]
        assert waits == pytest.approx([each * share for each in (0.1, 0.2, 0.4, 0.5, 0.5)])


def test_retry_after_comes_first() -> None:
    """What the server asks for, and the jittered wait on top, so that not all come at once."""
    attempts = Retry(1000.0, 0.1, jitter=lambda: 1.0).begin(0.0)
    assert attempts.wait_s(SessionLimit("x", retry_after_s=10), 0.0) == pytest.approx(10.1)


def test_the_time_is_bounded() -> None:
    """No attempt begins later than the total after the first: the error is raised instead."""
    attempts = Retry(10.0, 1.0, 1.0, jitter=lambda: 1.0).begin(100.0)
    assert attempts.wait_s(ConnectionLost("x"), 108.9) == 1.0
    with pytest.raises(ConnectionLost):
        attempts.wait_s(ConnectionLost("x"), 109.1)
    with pytest.raises(SessionLimit):
        Retry(10.0).begin(0.0).wait_s(SessionLimit("x", retry_after_s=10), 0.0)


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_tried_again(kind: type[CarouselError]) -> None:
    """Lost connections, 503, 429 and 504."""
    assert Retry().begin(0.0).wait_s(kind("x"), 0.0) > 0


@pytest.mark.parametrize("kind", [InvalidRequest, PositionConflict, BadAnswer, CarouselError])
def test_what_stays_is_raised(kind: type[CarouselError]) -> None:
    """Everything else, at once."""
    with pytest.raises(kind):
        Retry().begin(0.0).wait_s(kind("x"), 0.0)


def test_an_error_knows_of_an_attempt_that_may_have_been_done() -> None:
    """Only after one that got no answer, or whose outcome the server does not know."""
    for first, lost in (
        (ConnectionLost("x"), True),
        (StoreUnavailable("x", advanced="unknown"), True),
        (Draining("x", advanced=False), False),
    ):
        attempts = Retry().begin(0.0)
        attempts.wait_s(first, 0.0)
        assert not first.after_loss
        with pytest.raises(PositionConflict) as caught:
            attempts.wait_s(PositionConflict("x"), 0.0)
        assert caught.value.after_loss is lost


MODELS = answer_of(200, b'{"models": []}', more="Connection: close\r\n")


def test_the_same_request_comes_again_until_it_is_answered() -> None:
    """Through 503, 429, 504, an end without an answer and a proxy's page in words of its own."""
    answers = [
        problem_of(503, "queue_full"),
        problem_of(429, "rate_limited"),
        b"",
        problem_of(504, "deadline_exceeded", advanced=False),
        answer_of(502, b"<html>bad gateway</html>", "text/html"),
        MODELS,
    ]
    with scripted(answers) as (url, seen), Client(url, retry_s=PATIENCE_S) as client:
        assert client.models() == []
    assert len(seen) == 6
    assert set(seen) == {seen[0]}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem_of(409, "position_conflict", position=4), PositionConflict),
        (problem_of(500, "never_heard_of"), CarouselError),
        (answer_of(500, b"oh"), CarouselError),
        (answer_of(302, b"", more="Location: /\r\n"), BadAnswer),
        (answer_of(200, b"<html>"), BadAnswer),
    ],
)
def test_other_answers_are_not_asked_for_again(answer: bytes, kind: type[CarouselError]) -> None:
    """One request, one error."""
    with scripted([answer]) as (url, seen), Client(url) as client:
        with pytest.raises(kind) as caught:
            client.models()
        assert len(seen) == 1
    if caught.value.code == "never_heard_of":
        assert (caught.value.status, caught.value.detail) == (500, "scripted")


def test_without_time_for_retries_there_is_one_attempt() -> None:
    """retry_s=0."""
    with scripted([problem_of(503, "queue_full")]) as (url, seen), Client(url, retry_s=0) as client:
        with pytest.raises(Unavailable):
            client.models()
        assert len(seen) == 1


def test_a_problem_keeps_what_the_server_said() -> None:
    """Members that have no attribute of their own are fields."""
    body = {
        "type": "urn:x", "title": "T", "status": 503, "code": "store_unavailable", "detail": "D",
        "hint": "H", "advanced": "unknown", "position": 3, "other": [1],
    }  # fmt: skip
    error = read_problem(httpx.Response(503, json=body, headers={"Retry-After": "7"}))
    assert type(error) is StoreUnavailable
    assert (error.detail, error.hint, error.advanced) == ("D", "H", "unknown")
    assert error.fields == {"position": 3, "other": [1]}
    assert error.retry_after_s == 7
    assert str(error) == "store_unavailable: D (H)"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:07 GMT"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:07 -0000"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:07 GMT", "Date": "today"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 99 Oct 2015 07:28:07 GMT"}, None),
        ({}, None),
    ],
)
def test_when_to_ask_again_is_a_number_or_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    """A date counts from the one of the answer, and one that is over asks for no wait."""
    said = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT"} | headers
    assert read_problem(httpx.Response(503, headers=said)).retry_after_s == seconds


def test_a_date_counts_from_now_where_the_answer_has_none() -> None:
    """By the clock of this machine."""
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    found = read_problem(httpx.Response(503, headers={"Retry-After": then})).retry_after_s
    assert found == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("status", "body", "lost"),
    [
        (502, b"<html>", True),
        (503, b"", True),
        (504, b'{"code": ["x"]}', True),
        (504, b'{"code": "upstream_timeout"}', True),
        (504, b'{"code": "deadline_exceeded", "advanced": false}', False),
        (503, b'{"code": "queue_full"}', False),
        (429, b"slow down", False),
    ],
)
def test_only_what_a_gateway_says_itself_may_have_been_done(
    status: int, body: bytes, lost: bool
) -> None:
    """502, 503 and 504 that are not the server's own may stand for an answer that was lost."""
    attempts = Retry().begin(0.0)
    attempts.wait_s(read_problem(httpx.Response(status, content=body)), 0.0)
    assert attempts.lost is lost
