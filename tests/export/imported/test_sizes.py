"""Axes that a file leaves open and nothing settles: refused, with the sizes at which it ran."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from carousel.export.errors import InvalidRequest
from carousel.export.importer import import_model
from carousel.export.options import Context, Stated
from tests.export.imported.foreign.doubtful import Centred, Flat, FoldedRing, OneRow, Ring
from tests.export.imported.foreign.files import onnx_bytes
from tests.export.imported.outcome import Outcome, run_import

Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Imports bytes with flags."""
    return lambda data, *flags: run_import(tmp_path, data, *flags)


class Grows(nn.Module):
    """A key cache, longer after every call, that is not called a state."""

    def forward(self, x: Tensor, past_key: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 1, 4), past_key (B, L, 4)."""
        keys = torch.cat([past_key, x], 1)
        return keys.mean(1, keepdim=True), keys


def ring(batch: bool) -> bytes:
    """A ring buffer whose length is open, and its batch axis where it has one."""
    rows = {0: "N"} if batch else {}
    example = {
        "x": torch.zeros(2 if batch else 1, 4),
        "cache": torch.zeros(2 if batch else 1, 3, 4),
    }
    return onnx_bytes(Ring(), example, ["y", "cache_out"], {"x": rows, "cache": rows | {1: "L"}})


def test_the_length_of_a_state_is_asked_for(run: Run) -> None:
    """It ran at every length: none is taken, least of all 1."""
    found = run(ring(batch=False))
    assert found.code == 1
    assert "leaves axis 1 of the state cache open" in found.said
    assert "it ran at 1, 2, 3, 5" in found.said
    assert "--input cache:float32:1,SIZE,4" in found.said
    assert "it ran at 1, 2, 3, 5" in run(ring(batch=False), "--no-batch").said
    stated = run(ring(batch=False), "--input", "cache:float32:1,6,4").artifact
    assert stated.manifest.spec.states[0].axes == (1, 6, 4)


def test_the_fold_of_a_state_is_asked_for(run: Run) -> None:
    """How many rows of an axis a session has is not 1 because 1 runs."""
    example = {"x": torch.zeros(2, 4), "cache": torch.zeros(6, 4)}
    axes = {"x": {0: "N"}, "cache": {0: "M"}}
    data = onnx_bytes(FoldedRing(), example, ["y", "cache_out"], axes)
    found = run(data)
    assert found.code == 1
    assert "it ran at 1, 2, 3, 5 for each row of the batch" in found.said
    assert "--input cache:float32:batch*SIZE,4" in found.said
    stated = run(data, "--input", "cache:float32:batch*3,4").artifact
    assert stated.manifest.spec.states[0].fold == 3


def test_a_state_with_two_open_axes_is_asked_for(run: Run) -> None:
    """The axes are named, the sizes that ran, and the flag."""
    found = run(ring(batch=True))
    assert found.code == 1
    assert "cache leaves the axes N, L open" in found.said
    assert "it ran with L at 1, 2, 3, 5" in found.said
    assert "--input cache:float32:batch,SIZE,4" in found.said
    stated = run(ring(batch=True), "--input", "cache:float32:batch,6,4").artifact
    assert stated.manifest.spec.states[0].axes == ("batch", 6, 4)


def test_an_input_with_more_open_axes_than_batch_and_time_is_asked_for(run: Run) -> None:
    """Nothing tells three open axes apart."""
    axes = {"x": {0: "a", 1: "b", 2: "c"}}
    found = run(onnx_bytes(nn.Tanh(), {"x": torch.zeros(2, 3, 4)}, ["y"], axes))
    assert found.code == 1
    assert "x leaves the axes a, b, c open" in found.said
    assert "--input x:float32:AXES" in found.said


def test_an_axis_called_batch_is_never_time(run: Run) -> None:
    """A cache that grows is not made to fit by reading its rows as time steps."""
    example = {"x": torch.zeros(2, 1, 4), "past_key": torch.zeros(2, 3, 4)}
    axes = {"x": {0: "N"}, "past_key": {0: "N", 1: "past"}}
    found = run(onnx_bytes(Grows(), example, ["y", "present_key"], axes))
    assert found.code == 1
    assert "past_key leaves the axes N, past open" in found.said


def test_an_axis_called_time_is_never_held_at_one(run: Run) -> None:
    """What does not hold in chunks is not served a step at a time as if it did."""
    example = {"x": torch.zeros(5, 4), "h": torch.zeros(4)}
    found = run(onnx_bytes(Centred(), example, ["y", "hn"], {"x": {0: "time"}}))
    assert found.code == 1
    assert "with the states h=hn chunks of it differ from the whole" in found.said


def test_a_model_of_one_row_names_the_flag(run: Run) -> None:
    """Its axes are open and it runs with one row only: --no-batch, and it does."""
    example = {"x": torch.zeros(1, 4), "h": torch.zeros(1, 4)}
    data = onnx_bytes(OneRow(), example, ["y", "hn"], {"x": {0: "N"}, "h": {0: "N"}})
    found = run(data)
    assert found.code == 1
    assert "the model runs with one row only" in found.said
    assert "--no-batch" in found.said
    assert not run(data, "--no-batch").artifact.manifest.spec.has_batch


def test_rows_and_time_in_one_axis_name_the_flag(run: Run) -> None:
    """One row at a time its answers are steps."""
    example = {"x": torch.zeros(5, 2, 3), "h": torch.zeros(1, 2, 4)}
    axes = {"x": {0: "T", 1: "N"}, "h": {1: "N"}}
    data = onnx_bytes(Flat(), example, ["y", "hn"], axes)
    found = run(data)
    assert found.code == 1
    assert "follow neither batch nor time" in found.said
    assert "--no-batch" in found.said
    assert run(data, "--no-batch").artifact.manifest.spec.streaming == "step"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"contexts": {"x": -3}}, "--context: x needs a number of samples from 1 on"),
        ({"contexts": {"x": Context(1, -1)}}, "--context: x needs an axis from 0 on, not -1"),
        ({"shapes": {"x": Stated("float32", ("foo", 4))}}, "are no axes"),  # type: ignore[arg-type]
        ({"shapes": {"x": Stated("float32", ("batch", "batch"))}}, "are no axes"),
        ({"shapes": {"x": Stated("float32", (-1, 4))}}, "are no axes"),
        ({"shapes": {"x": Stated("float32", ("batch", 4), 0)}}, "a fold of 0 is none"),
        ({"shapes": {"x": Stated("float32", (1, 4), 2)}}, "a fold of 2 is none"),
        ({"shapes": {"x": Stated("int3", (1, 4))}}, "'int3' is not one of"),  # type: ignore[arg-type]
        ({"shapes": {"x": ("float32", (1, 4))}}, "--input: x needs a Stated"),
        ({"constants": {"x": "abc"}}, "--constant: x needs a number, not 'abc'"),
        ({"ranges": {"x": (5, 1)}}, "--range: x has nothing between 5 and 1"),
        ({"ranges": {"x": (1,)}}, "--range: x needs two integers"),
        ({"initial": {"cache": [1.0]}}, "--initial: cache needs a tensor"),
        ({"fixed": "cache"}, "--fixed: 'cache' is one name"),
        ({"outputs": "y"}, "--output: 'y' is one name"),
        ({"outputs": ["y", "y"]}, "--output: 'y' is named twice"),
    ],
)
def test_bad_values_of_the_python_call_are_named(
    said: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """What no flag could say is refused as a bad flag is, and nothing is written."""
    (tmp_path / "file").write_bytes(ring(batch=True))
    with pytest.raises(InvalidRequest, match="--") as error:
        import_model(
            tmp_path / "file", name="m", repository=tmp_path / "models", quiet=True, **said
        )
    assert words in str(error.value)
