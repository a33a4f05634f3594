"""Manifests and examples that say of a sound program what is not so: refused, never run with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from carousel.models.manifest import Manifest
from carousel.models.repository import Repository
from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.loaded_model import LoadOptions
from tests.harness.layouts import LAYOUTS

GOLDEN = "golden.safetensors"
HUGE = 10**6


def _refusal(root: Path, manifest: Manifest, files: dict[str, bytes]) -> str:
    """Why it is refused, beside a sound model that is not."""
    sound, sound_files = LAYOUTS["batch axis 0, last"]().artifact(name="sound", kinds=("onnx",))
    Repository(root).add(sound, sound_files)
    Repository(root).add(manifest, files)
    found = Catalog(Repository(root), LoadOptions()).load()
    assert [each.name for each in found.all()] == ["sound"]
    [refusal] = found.refused
    assert refusal.name == "tiny"
    return refusal.reason


Change = Callable[[ModelSpec], ModelSpec]


def _input(**fields: object) -> Change:
    return lambda spec: replace(spec, inputs=(replace(spec.inputs[0], **fields),))  # type: ignore[arg-type]


def _output(**fields: object) -> Change:
    return lambda spec: replace(spec, outputs=(replace(spec.outputs[0], **fields),))  # type: ignore[arg-type]


def _state(**fields: object) -> Change:
    return lambda spec: replace(spec, states=(replace(spec.states[0], **fields),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        _input(axes=("batch", "time", -3)),
        _input(axes=("batch", "time", HUGE)),
        _input(axes=()),
        _input(context=-1),
        _input(dtype="int8"),
        _input(constant=1.0, axes=(HUGE, HUGE)),
        _output(axes=("batch", -1)),
        _output(per="step", stride=0),
        _output(axes=("batch", "batch")),
        _state(axes=("batch", -3)),
        _state(axes=("batch", HUGE, HUGE)),
        _state(fold=0),
        _state(fold=-1),
        _state(fold=7),
        lambda spec: replace(spec, run_steps=0),
        lambda spec: replace(spec, run_steps=-1),
        lambda spec: replace(spec, most_steps=0),
        lambda spec: replace(spec, least_steps=-5),
        lambda spec: replace(spec, inputs=()),
        lambda spec: replace(spec, outputs=()),
        lambda spec: replace(spec, inputs=spec.inputs * 2),
    ],
)
def test_a_spec_that_cannot_be_is_refused(tmp_path: Path, change: Change) -> None:
    """Sizes below zero, runs of no steps, tensors that no memory holds."""
    manifest, files = LAYOUTS["batch axis 0, last"]().artifact(kinds=("onnx",))
    reason = _refusal(tmp_path, replace(manifest, spec=change(manifest.spec)), files)
    assert reason.startswith("tiny/1: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input.x", np.zeros((3, 4), np.float32)),
        ("input.x", np.zeros((0, 4, 3), np.float32)),
        ("input.x", np.zeros((3, 0, 3), np.float32)),
        ("input.x", np.zeros((3, 4, 9), np.float32)),
        ("input.x", np.zeros((5, 4, 3), np.float32)),
        ("input.x", np.zeros((3, 4, 3), np.float64)),
        ("state.s", np.zeros((2, 3), np.float32)),
        ("state.s", np.zeros((3, 9), np.float32)),
        ("state.s", np.zeros((), np.float32)),
        ("output.y", np.zeros((3, 9), np.float32)),
        ("output.y", np.full((3, 3), np.nan, np.float32)),
        ("state_out.s", np.zeros((3, 3, 1), np.float32)),
    ],
)
def test_an_example_that_lies_about_its_sizes_is_refused(
    tmp_path: Path, name: str, value: Array
) -> None:
    """Too few axes, none of a row, other sizes, other numbers: refused by name."""
    manifest, files = LAYOUTS["batch axis 0, last"]().artifact(kinds=("onnx",))
    arrays = load_safetensors(files[GOLDEN])
    files[GOLDEN] = save_safetensors({**arrays, name: value})
    assert _refusal(tmp_path, manifest, files).startswith("tiny/1: ")


@pytest.mark.parametrize("name", ["input.x", "state.s", "output.y", "state_out.s"])
def test_an_example_that_lacks_something_is_refused(tmp_path: Path, name: str) -> None:
    """By name, as what cannot be run."""
    manifest, files = LAYOUTS["batch axis 0, last"]().artifact(kinds=("onnx",))
    arrays = dict(load_safetensors(files[GOLDEN]))
    del arrays[name]
    files[GOLDEN] = save_safetensors(arrays)
    assert _refusal(tmp_path, manifest, files).startswith("tiny/1: ")
