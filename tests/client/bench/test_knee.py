"""The search for the knee, on servers whose capacity is known."""

import pytest

from carousel_bench.knee import NEAR, Search


def searched(guess: float, capacity: float) -> Search:
    """A search on a server that holds all up to its capacity."""
    search = Search(guess)
    while (rate := search.next()) is not None:
        search.tell(rate, held=rate <= capacity)
    return search


@pytest.mark.parametrize("capacity", [300, 790, 800, 1000, 2500])
def test_it_ends_close_below_the_capacity(capacity: float) -> None:
    """From a guess that is too low or too high, within the trials it has."""
    search = searched(800, capacity)
    assert search.low is not None
    assert capacity / NEAR**2 <= search.low <= capacity


def test_what_holds_nothing_has_no_knee() -> None:
    """It gives up after its trials, having gone down all the time."""
    search = searched(800, 0)
    assert search.low is None
    assert search.high == 800 / 2**8


def test_what_holds_everything_has_no_upper_end() -> None:
    """It goes up until trials run out."""
    search = searched(800, 1e9)
    assert search.high is None
    assert search.low is not None
    assert search.low > 5 * 800


def test_of_two_answers_that_differ_the_lower_rate_is_believed() -> None:
    """A rate that is not held takes back that a higher one was."""
    search = Search(100)
    search.tell(100, held=True)
    search.tell(90, held=False)
    assert search.low is None
    assert search.next() == 45
