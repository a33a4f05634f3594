"""Ctrl-C, held back for as long as it would leave something half done."""

import signal

import pytest

from carousel_bench.interrupts import held_back


def _work(done: list[str], interrupts: int) -> None:
    """It is interrupted so often in its midst."""
    with held_back():
        for _ in range(interrupts):
            signal.raise_signal(signal.SIGINT)
        done.append("all of it")


def test_it_comes_when_the_work_is_done() -> None:
    """Once, after the last line."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _work(done, interrupts=1)
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_one_is_not_held_back() -> None:
    """Whoever will not wait leaves."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _work(done, interrupts=2)
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_one_nothing_happens() -> None:
    """And who ignores it, as a process in the background, goes on ignoring it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
