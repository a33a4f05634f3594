"""The sunspot data, its split by year, and the forecaster that simple-lstm was trained to be."""

import pytest
import torch
from torch import nn

from carousel.models.zoo.catalog import REFERENCES
from carousel.models.zoo.sunspots import SCALE, TEST, TRAIN, VALIDATION, evaluate, load, windows
from tests.models.zoo.zoo import built


def test_data_is_309_years_with_known_values() -> None:
    """One number for each year from 1700 to 2008, some of them well known."""
    numbers = load()
    assert list(numbers) == list(range(1700, 2009))
    known = {1700: 5.0, 1701: 11.0, 1712: 0.0, 1957: 190.2, 2007: 7.5, 2008: 2.9}
    assert {year: numbers[year] for year in known} == known


def test_splits_do_not_share_a_year() -> None:
    """Years to fit, years to stop by and years to judge by follow one another without a gap."""
    years = [*TRAIN.years, *VALIDATION.years, *TEST.years]
    assert years == list(range(1724, 2009))


def test_windows_hold_what_is_known_before_the_year_forecast() -> None:
    """A feature is one of ten lags, oldest first; the last one is the year before the target."""
    numbers = load()
    data = windows(TEST)
    assert data.inputs.shape == (53, 15, 10)
    assert data.targets.shape == (53, 1, 1)
    assert float(data.targets[0]) * SCALE == pytest.approx(numbers[1956])
    newest = [numbers[year] for year in range(1946, 1956)]
    assert (data.inputs[0, -1] * SCALE).tolist() == pytest.approx(newest)
    oldest = [numbers[year] for year in range(1932, 1942)]
    assert (data.inputs[0, 0] * SCALE).tolist() == pytest.approx(oldest)


def test_error_of_a_perfect_and_of_a_naive_forecaster() -> None:
    """A forecaster that knows the numbers has no error; one that repeats the last has naive's."""

    class Known(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return windows(TEST).targets  # (B, 1, 1)

    class Repeats(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, -1:, -1:]  # (B, 1, 1)

    numbers = load()
    squares = [(numbers[year] - numbers[year - 1]) ** 2 for year in TEST.years]
    naive = (sum(squares) / len(squares)) ** 0.5
    assert evaluate(Known()).model_rmse == 0
    assert evaluate(Known()).naive_rmse == pytest.approx(naive, rel=1e-5)
    assert evaluate(Repeats()).model_rmse == pytest.approx(naive, rel=1e-5)


def test_simple_lstm_forecasts_better_than_naive() -> None:
    """On years that had no part in its training, simple-lstm is well below the naive error."""
    errors = evaluate(built("simple-lstm"))
    assert errors.model_rmse < 0.8 * errors.naive_rmse


def test_simple_lstm_example_is_the_last_five_years() -> None:
    """The example input is real: the windows that forecast 2004 to 2008."""
    (x,) = REFERENCES["simple-lstm"].example()  # (5, 15, 10)
    assert torch.equal(x, windows(TEST).inputs[-5:])
