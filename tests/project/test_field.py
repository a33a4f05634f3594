"""The independent check of `make field`: it must not take a wrong program for a right one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.field.case import Case, batch_first
from benchmarks.field.judge import Judge, built
from benchmarks.field.result import Result
from benchmarks.field.served import Array, Named, Served
from benchmarks.field.table import render
from carousel import export_model
from carousel.models.artifact import Artifact

_CASE = Case("LSTM", lambda: nn.LSTM(3, 4, batch_first=True), batch_first(3))

_Call = Callable[[Served, Named, dict[str, Array], int, int], list[Array]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The artifact of a small LSTM."""
    folder: Path = tmp_path_factory.mktemp("field")
    torch.manual_seed(1)
    return export_model(built(_CASE), _CASE.example(), name="m", repository=folder, quiet=True)


def test_right_program_is_taken(artifact: Artifact) -> None:
    """A program that answers as the module does is right, at other sizes than the example's too."""
    verdict = Judge(_CASE).verdict(artifact)
    assert verdict.is_right
    assert verdict.varied


def _loses_state(call: _Call) -> _Call:
    def run(
        served: Served, inputs: Named, states: dict[str, Array], batch: int, steps: int
    ) -> list[Array]:
        return call(served, inputs, dict(states), batch, steps)

    return run


def _swaps_rows(call: _Call) -> _Call:
    def run(
        served: Served, inputs: Named, states: dict[str, Array], batch: int, steps: int
    ) -> list[Array]:
        return [np.flip(each, 0) for each in call(served, inputs, states, batch, steps)]

    return run


def _is_a_little_off(call: _Call) -> _Call:
    def run(
        served: Served, inputs: Named, states: dict[str, Array], batch: int, steps: int
    ) -> list[Array]:
        outputs = call(served, inputs, states, batch, steps)
        return [np.float32(1.0003) * each.astype(np.float32) for each in outputs]

    return run


@pytest.mark.parametrize("fault", [_loses_state, _swaps_rows, _is_a_little_off])
def test_wrong_program_is_found(
    fault: Callable[[_Call], _Call], artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost state, swapped rows and an error of 3e-4 are each found."""
    monkeypatch.setattr(Served, "_call", fault(Served._call))
    assert not Judge(_CASE).verdict(artifact).is_right


def test_page_counts_what_was_tried() -> None:
    """The share leaves out what was not there to be exported, and counts a refusal by the case."""
    results = [
        Result("a", "1", "served", "step", "states h[4]", "step", error=1e-7),
        Result("a", "1", "short", "whole", "no states", "step", error=1e-7),
        Result("a", "1", "random", "refused", "it draws", "nothing", why="it draws"),
        Result("a", "1", "shut", "refused", "a | b", "step"),
        Result("b", "", "", "not installed", "pip says no", "nothing"),
    ]
    page = render(results)
    assert "Right at first try: 3 of 4 modules, 75%." in page
    assert "a stream wherever the module is one: 2, 50%." in page
    assert "a \\| b" in page
