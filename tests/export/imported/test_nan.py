"""Outputs that may be NaN: what the importer writes the service loads, and what the service would
refuse the importer does.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from carousel.models.row import Array
from carousel.service.engine.loaded_model import LoadOptions, load_model
from tests.export.imported.foreign import nan as foreign_nan
from tests.export.imported.foreign.files import Foreign, farthest
from tests.export.imported.outcome import Outcome, run_import
from tests.harness.live import Live

SCRIPTED = (
    *("--input", "x:float32:batch,4", "--input", "h:float32:batch,4"),
    *("--state", "h=output_1"),
)


def check_one_rule(outcome: Outcome, output: str) -> None:
    """Imported and loadable, or refused in words that name the output and what it is."""
    if outcome.code == 0:
        load_model(outcome.artifact, LoadOptions())
        return
    assert outcome.code == 1, outcome.said
    refused = outcome.said.splitlines()[-1]
    assert f"output {output} " in refused
    assert "NaN" in refused
    assert "Way out: " in refused


@pytest.mark.parametrize("name", foreign_nan.FILES)
def test_an_output_that_may_be_nan_has_one_rule(tmp_path: Path, name: str) -> None:
    """It imports and loads, or is refused by its name; never one here and the other there."""
    check_one_rule(run_import(tmp_path, foreign_nan.FILES[name]()), "z")


def test_a_scripted_output_that_may_be_nan_has_one_rule(tmp_path: Path) -> None:
    """In TorchScript as in ONNX."""
    check_one_rule(run_import(tmp_path, foreign_nan.scripted(), *SCRIPTED), "output_0")


def test_an_output_that_is_nan_for_loud_inputs_has_one_rule(tmp_path: Path) -> None:
    """What the importer alone tries is no other rule than what the golden example shows."""
    check_one_rule(run_import(tmp_path, foreign_nan.only_when_loud()), "z")


def test_an_output_that_may_be_nan_can_be_left_out(tmp_path: Path) -> None:
    """With --output the others are served, and loaded, whatever z is."""
    outcome = run_import(tmp_path, foreign_nan.FILES["logarithm"](), "--output", "y")
    load_model(outcome.artifact, LoadOptions())
    assert [each.name for each in outcome.artifact.manifest.spec.outputs] == ["y"]


def test_infinities_are_equal_to_themselves(tmp_path: Path) -> None:
    """An output that may be infinite imports and loads."""
    load_model(run_import(tmp_path, foreign_nan.infinite()).artifact, LoadOptions())


def test_a_state_that_becomes_nan_has_one_rule(tmp_path: Path) -> None:
    """No session could be kept: refused with the state's name, or imported and loaded."""
    outcome = run_import(tmp_path, foreign_nan.state_is_lost())
    if outcome.code == 0:
        load_model(outcome.artifact, LoadOptions())
        return
    assert outcome.code == 1, outcome.said
    assert "NaN" in outcome.said
    assert "hn" in outcome.said.splitlines()[-1]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of what was imported, as its operator starts it."""
    with Live(
        run_import(tmp_path_factory.mktemp("nan"), foreign_nan.only_when_loud()).repository
    ) as live:
        yield live


def test_a_service_of_such_a_model_starts_and_answers(service: Live) -> None:
    """Numbers are answered as ONNX Runtime has them."""
    start: dict[str, Array] = {"h": np.zeros((1, 6), np.float32)}
    file = Foreign(
        "m",
        foreign_nan.only_when_loud(),
        {"x": ((4,), "float32", 0)},
        ("y", "z"),
        {"h": "hn"},
        start,
    )
    sequence = file.sequence(np.random.default_rng(0), 5)
    expected = file.answers(sequence)
    assert all(np.isfinite(each).all() for each in expected.values())
    answer = service.client.post(
        "/v1/models/m/infer", json={"sequences": [sequence["x"].tolist()]}
    ).json()["outputs"][0]
    for name, value in expected.items():
        assert farthest(answer[name], value) <= 1e-3
