"""No file ends the process that runs it: not the import's, and not the service's."""

from pathlib import Path

import numpy as np
import pytest

from carousel.export.programs.runtime import open_session
from tests.export.imported.advice import first_advice, way_out
from tests.export.imported.foreign import steps as foreign_steps
from tests.export.imported.foreign.files import Foreign
from tests.export.imported.foreign.lengths import Layer
from tests.export.imported.foreign.steps import BY_LENGTH, LEFT_OUT
from tests.export.imported.outcome import run_import


@pytest.mark.parametrize("name", BY_LENGTH)
def test_the_fewest_steps_are_found_wherever_the_node_stands(tmp_path: Path, name: str) -> None:
    """And what is served answers as the file does, and fails below, where the file would end."""
    data = BY_LENGTH[name]()
    artifact = run_import(tmp_path, data).artifact
    assert artifact.manifest.spec.least_steps == LEFT_OUT + 1
    served = open_session(artifact.read(artifact.manifest.programs["onnx"].file))
    x = np.random.default_rng(6).standard_normal((LEFT_OUT + 1, 2, 4)).astype(np.float32)
    wanted = Foreign(name, data, {}, (), {}, {}).run({"x": x})
    np.testing.assert_array_equal(served.run(["y"], {"x": x})[0], wanted["y"])
    with pytest.raises(Exception, match="no time step for the GRU"):
        served.run(["y"], {"x": x[:LEFT_OUT]})


def test_what_is_served_can_be_imported_again(tmp_path: Path) -> None:
    """A guarded file is a file like others."""
    artifact = run_import(tmp_path, BY_LENGTH["gathered"]()).artifact
    again = run_import(tmp_path, artifact.read("model.onnx")).artifact
    assert again.manifest.spec == artifact.manifest.spec


def test_what_always_gets_steps_is_served_as_it_came(tmp_path: Path) -> None:
    """A layer that reads an input pays nothing."""
    data = Layer("GRU", states=True).data()
    assert run_import(tmp_path, data).artifact.read("model.onnx") == data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (foreign_steps.loud_only, "silent inputs"),
        (lambda: foreign_steps.unpadded(0), "ids at 0"),
        (lambda: foreign_steps.unpadded(1), "ids at 1"),
        (lambda: foreign_steps.unpadded(20), "ids at 20"),
        (lambda: foreign_steps.unpadded(49), "ids at 49"),
    ],
    ids=["silence", "padding 0", "padding 1", "padding 20", "padding last"],
)
def test_steps_that_values_leave_out_are_refused(tmp_path: Path, data: object, words: str) -> None:
    """No bound of a length keeps such values from the service."""
    assert callable(data)
    outcome = run_import(tmp_path, data())
    assert outcome.code == 1, outcome.said
    assert "would get no time step" in outcome.said
    assert words in outcome.said
    assert "export it so that a step is left" in way_out(outcome.said)


@pytest.mark.parametrize(("padding", "rest"), [(0, "1..49"), (49, "0..48")])
def test_padding_that_no_client_sends_is_no_matter(tmp_path: Path, padding: int, rest: str) -> None:
    """The range without it is named, and holds: what is out of it is the client's mistake."""
    found = run_import(tmp_path, foreign_steps.unpadded(padding))
    assert first_advice(found.said) == ("--range", f"ids={rest}")
    spec = run_import(tmp_path, foreign_steps.unpadded(padding), *first_advice(found.said))
    (ids,) = spec.artifact.manifest.spec.inputs
    assert f"{ids.low}..{ids.high}" == rest
