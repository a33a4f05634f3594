"""What a clock makes of what the wall clock says: readings in, the time out; nothing waits."""

import math
import time

import pytest

from carousel.service.sessions.clock import GRACE_S, SLACK_S, Clock, Reading, read_machine, steady_s
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta
from tests.harness.clocks import Machine

DAY_S = 86400.0


def _session(used_at: float, ttl_s: float = 60.0) -> SessionMeta:
    identity = SessionIdentity(("", "s"), "witness", "w", used_at, ttl_s)
    return SessionMeta(identity, 1, b"r" * 16, 1, used_at)


def test_it_is_the_machines_time() -> None:
    """At first, and as time goes on."""
    assert abs(Clock()() - time.time()) < 0.5
    machine = Machine()
    clock = machine.clock()
    assert clock() == machine.wall
    machine.wait(1000, clock)
    assert clock() == pytest.approx(machine.wall)


@pytest.mark.parametrize("by_s", [7200.0, -2 * DAY_S, 60 * 365 * DAY_S, 3.0, -3.0])
def test_a_jump_that_goes_away_has_not_been(by_s: float) -> None:
    """However far it was, and whenever it goes before the grace is over."""
    machine = Machine()
    clock = machine.clock()
    for lasts_s in (0.0, 35.0, GRACE_S - 2):
        before = machine.wall
        machine.set(by_s)
        machine.wait(lasts_s, clock)
        assert clock() == pytest.approx(before + lasts_s)
        machine.set(-by_s)
        clock.look()
        assert clock() == pytest.approx(machine.wall)
    assert clock.floor == -math.inf
    assert clock.num_set_back == 0


@pytest.mark.parametrize("by_s", [7200.0, -2 * DAY_S, 3.0, -3.0])
def test_a_jump_that_stays_is_adopted(by_s: float) -> None:
    """Once it has lasted for the grace."""
    machine = Machine()
    clock = machine.clock()
    before = machine.wall
    machine.set(by_s)
    machine.wait(GRACE_S - 1, clock)
    assert clock() == pytest.approx(before + GRACE_S - 1)
    machine.wait(3, clock)
    assert clock() == pytest.approx(machine.wall)
    assert clock.num_set_back == (by_s < 0)


def test_each_jump_has_its_own_grace() -> None:
    """A clock that jumps about is not believed anywhere."""
    machine = Machine()
    clock = machine.clock()
    start, steady = machine.wall, machine.steady
    for by_s in (7200.0, 3600.0, -DAY_S, 5.0, DAY_S):
        machine.set(by_s)
        machine.wait(GRACE_S - 10, clock)
    assert clock() == pytest.approx(start + machine.steady - steady)


@pytest.mark.parametrize("by_s", [SLACK_S - 0.1, -1.0, 0.25])
def test_a_small_step_is_followed_at_once(by_s: float) -> None:
    """A leap second, or a correction that a daemon makes in one piece."""
    machine = Machine()
    clock = machine.clock()
    machine.set(by_s)
    clock.look()
    assert clock() == pytest.approx(machine.wall)


@pytest.mark.parametrize("rate", [0.1, -0.1, 500e-6])
def test_a_drift_is_followed_without_waiting(rate: float) -> None:
    """A clock that is slewed by far more than any daemon slews it. Over hours it adds up to many
    times the slack.
    """
    machine = Machine()
    clock = machine.clock()
    for _ in range(10_000):
        machine.wait(1)
        machine.set(rate)
        clock.look()
        assert clock() == pytest.approx(machine.wall)
    assert clock.floor == -math.inf


def test_a_jump_may_be_slewed_while_it_waits() -> None:
    """It is one jump."""
    machine = Machine()
    clock = machine.clock()
    machine.set(7200)
    for _ in range(int(GRACE_S) + 2):
        machine.wait(1)
        machine.set(0.08)
        clock.look()
    assert clock() == pytest.approx(machine.wall)


def test_a_reading_that_took_long_tells_nothing() -> None:
    """An answer that came late, and a process that was stopped in the middle of one."""
    machine = Machine()
    clock = machine.clock()
    now = clock()
    machine.steady += 40
    clock.observe(Reading(now, machine.steady - 40, machine.steady))
    assert clock() == now + 40


def test_a_reading_is_no_more_exact_than_its_answer_was_quick() -> None:
    """Answers that take unequally long do not make the time go to and fro."""
    machine = Machine()
    clock = machine.clock()
    for took_s in (0.5, 0.125, 0.25):
        machine.wait(took_s)
        clock.observe(Reading(machine.wall - took_s / 5, machine.steady - took_s, machine.steady))
        assert clock() == machine.wall


def test_a_forward_jump_gives_every_session_its_time_again() -> None:
    """What was stamped while the clock was behind is not taken for old."""
    machine = Machine()
    machine.set(-2 * DAY_S)
    clock = machine.clock()
    meta = _session(clock())
    machine.set(2 * DAY_S)
    machine.wait(GRACE_S, clock)
    assert clock.end_of(meta) < machine.wall
    machine.wait(3, clock)
    assert not clock.has_ended(meta)
    assert clock.end_of(meta) == pytest.approx(clock() + 60, abs=5)
    machine.wait(62, clock)
    assert clock.has_ended(meta)
    assert clock.has_ended(_session(clock() - 60))
    assert not clock.has_ended(_session(clock() - 59))


def test_a_floor_does_not_lie_ahead_of_a_clock_that_was_set_back() -> None:
    """Or sessions would live on until the time comes round again."""
    machine = Machine()
    clock = machine.clock()
    for by_s in (DAY_S, -DAY_S):
        machine.set(by_s)
        machine.wait(GRACE_S + 2, clock)
    meta = _session(clock())
    machine.wait(61, clock)
    assert clock.has_ended(meta)


def test_a_clock_that_was_just_met_is_not_settled() -> None:
    """For the grace, and for as long as it jumps after that."""
    machine = Machine()
    clock = machine.clock(is_settled=False)
    machine.wait(GRACE_S - 2, clock)
    assert not clock.is_settled
    machine.wait(3, clock)
    assert clock.is_settled
    machine.set(7200)
    machine.wait(GRACE_S + 9, clock)
    assert clock.is_settled


def test_a_start_under_a_wrong_clock_settles_when_it_is_put_right() -> None:
    """Not by the time that was wrong."""
    machine = Machine()
    machine.set(7200)
    clock = machine.clock(is_settled=False)
    machine.wait(35, clock)
    machine.set(-7200)
    machine.wait(GRACE_S - 1, clock)
    assert not clock.is_settled
    machine.wait(3, clock)
    assert clock.is_settled
    assert clock() == pytest.approx(machine.wall)


def test_a_stop_of_the_process_is_no_jump() -> None:
    """Both clocks go on, and so they do while the machine sleeps."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 8 * 3600
    machine.steady += 8 * 3600
    assert clock() == machine.wall
    clock.look()
    assert clock() == machine.wall


def test_the_steady_clock_counts_sleep_where_it_can() -> None:
    """On Linux it is the one since the boot."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        assert abs(steady_s() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1
    first, second = read_machine(), read_machine()
    assert first.began <= first.ended <= second.began
    assert 0 <= first.doubt_s < 1
