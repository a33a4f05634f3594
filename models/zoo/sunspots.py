"""Yearly sunspot numbers, and what a forecaster of them is worth.

A forecaster sees windows of `STEPS` years; at each of them its features are the `LAGS` numbers up
to that year, oldest first. It answers with the number of the year after the window. All numbers
are divided by `SCALE` before they go in; what comes out is multiplied by it.

The years are split by the one to be forecast: earlier ones to fit, then some to say when to stop,
and the latest only to tell the error. (An input may reach back into an earlier split: by then
those years are known.)
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

LAGS = 10
STEPS = 15
SCALE = 100.0

_CSV = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True, slots=True)
class Split:
    """The years to be forecast from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def years(self) -> range:
        """Every year of the split."""
        return range(self.first, self.last + 1)


TRAIN = Split(1724, 1920)
VALIDATION = Split(1921, 1955)
TEST = Split(1956, 2008)


@dataclass(frozen=True, slots=True)
class Windows:
    """What a forecaster takes and should answer, both divided by SCALE."""

    inputs: torch.Tensor  # (B, T, F)
    targets: torch.Tensor  # (B, 1, 1)


@dataclass(frozen=True, slots=True)
class Errors:
    """Root mean squared errors over the same years, in sunspots."""

    model_rmse: float
    naive_rmse: float


def load() -> dict[int, float]:
    """Year to sunspot number, 1700 to 2008."""
    with _CSV.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return {int(row["year"]): float(row["sunspots"]) for row in rows}


def windows(split: Split) -> Windows:
    """One window for each year of the split, in order."""
    numbers = load()
    inputs = [[_lags(numbers, year - STEPS + t) for t in range(STEPS)] for year in split.years]
    targets = [numbers[year] for year in split.years]
    return Windows(
        inputs=torch.tensor(inputs) / SCALE,  # (B, T, F)
        targets=torch.tensor(targets).view(-1, 1, 1) / SCALE,  # (B, 1, 1)
    )


def evaluate(module: nn.Module, split: Split = TEST) -> Errors:
    """Errors of `module`, (B, T, F) to (B, 1, 1), and of "next year is as this one"."""
    data = windows(split)
    with torch.no_grad():
        forecasts = module(data.inputs)  # (B, 1, 1)
    naive = data.inputs[:, -1:, -1:]  # (B, 1, 1)
    return Errors(_rmse(forecasts, data.targets), _rmse(naive, data.targets))


def _lags(numbers: dict[int, float], year: int) -> list[float]:
    """The LAGS numbers up to `year`, oldest first."""
    return [numbers[year - lag] for lag in reversed(range(LAGS))]


def _rmse(forecasts: torch.Tensor, targets: torch.Tensor) -> float:
    """Both (B, 1, 1), divided by SCALE; the answer is in sunspots."""
    return float((forecasts - targets).square().mean().sqrt()) * SCALE
