"""Numbers of steps are read wherever code may have them, and sequences reach beyond."""

import pytest
import torch

from carousel.export.errors import ExportError
from carousel.export.module.constants import whole_numbers
from carousel.export.module.held import numbers_in
from tests.export.cases import numbers
from tests.export.cases.computed import COMPUTED
from tests.export.cases.upheld import upheld
from tests.harness.export_served import attempt

EXAMPLE = (torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)),)


@pytest.mark.parametrize("place", numbers.EVERYWHERE)
def test_a_number_of_steps_is_read_where_it_stands(place: str) -> None:
    """In code, in what it closes over or calls, and in what the module holds for it."""
    assert 4500 in whole_numbers(numbers.EVERYWHERE[place]())


def test_what_grows_while_it_is_read_is_read_as_it_was() -> None:
    """As a library's table that is filled as soon as somebody looks into it."""
    table: dict[str, object] = {}

    class Lazy:
        @property
        def __dict__(self) -> dict[str, object]:  # type: ignore[override]  # what a proxy does
            table["more"] = 1
            return {}

    table.update(first=Lazy(), second=4500)
    assert 4500 in set(numbers_in(table, {"first", "second"}))


@pytest.mark.parametrize("how", COMPUTED)
def test_a_number_of_steps_is_computed_as_the_code_does(how: str) -> None:
    """From what stands there, and from what the module holds."""
    assert 4500 in whole_numbers(COMPUTED[how]())


@pytest.mark.parametrize("place", ["script"])
def test_what_begins_anew_far_on_is_refused(place: str) -> None:
    """Later than any loop is run for without a number to go by."""
    torch.manual_seed(0)
    assert isinstance(attempt(numbers.EVERYWHERE[place]().eval(), EXAMPLE), ExportError)


def test_a_clock_in_python_is_refused() -> None:
    """Whose hour comes later than any loop is run for without a number to go by."""
    torch.manual_seed(0)
    assert isinstance(attempt(COMPUTED["clock"]().eval(), EXAMPLE), ExportError)


def test_a_lag_of_many_steps_is_a_state_or_none_is_claimed() -> None:
    """Longer than the long run is, where a trace has it as a pad."""
    torch.manual_seed(0)
    x = torch.randn(2, 1700, 4, generator=torch.Generator().manual_seed(1))
    upheld(numbers.Season(), EXAMPLE, x)
