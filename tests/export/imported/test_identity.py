"""What a saved state fits: another model has another id, and the same file with the same flags the
same.
"""

from pathlib import Path

import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from tests.export.imported.foreign.files import script_bytes
from tests.export.imported.foreign.graphs import onnx_graph
from tests.export.imported.outcome import run_import


class Gained(nn.Module):
    """A cell with a gain that is an attribute, and one that is given."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = torch.full((4,), gain)

    def forward(self, x: Tensor, h: Tensor, k: float) -> tuple[Tensor, Tensor]:
        """x and h (B, 4)."""
        h = torch.tanh(x + self.gain * k * h)
        return h * 2, h


def decays(factor: float, op: str = "Tanh", stored: str = "value_floats") -> bytes:
    """A state that is multiplied by `factor`, which no initializer holds, and by `k`."""
    values = [factor] * 4 if stored == "value_floats" else factor
    constant = helper.make_node("Constant", [], ["factor"])
    constant.attribute.append(helper.make_attribute(stored, values))
    return onnx_graph(
        [
            constant,
            helper.make_node("Mul", ["h", "factor"], ["kept"]),
            helper.make_node("Mul", ["kept", "k"], ["scaled"]),
            helper.make_node("Add", ["x", "scaled"], ["sum"]),
            helper.make_node(op, ["sum"], ["hn"]),
            helper.make_node("Relu", ["hn"], ["y"]),
        ],
        {"x": ["N", 4], "h": ["N", 4], "k": []},
        {"y": ["N", 4], "hn": ["N", 4]},
    )


def leaky(alpha: float) -> bytes:
    """A state behind an operator with a number of its own."""
    return onnx_graph(
        [
            helper.make_node("Add", ["x", "h"], ["sum"]),
            helper.make_node("LeakyRelu", ["sum"], ["bent"], alpha=alpha),
            helper.make_node("Mul", ["bent", "k"], ["hn"]),
            helper.make_node("Tanh", ["hn"], ["y"]),
        ],
        {"x": ["N", 4], "h": ["N", 4], "k": []},
        {"y": ["N", 4], "hn": ["N", 4]},
    )


def state_id(folder: Path, data: bytes, k: str = "0.5", *flags: str) -> str:
    """The id of an import."""
    artifact = run_import(folder, data, "--constant", f"k={k}", *flags).artifact
    return artifact.manifest.state_id


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (decays(0.5), decays(0.9)),
        (decays(0.5, stored="value_float"), decays(0.9, stored="value_float")),
        (decays(0.5), decays(0.5, "Sigmoid")),
        (leaky(0.1), leaky(0.2)),
    ],
    ids=["list", "number", "operator", "attribute"],
)
def test_other_numbers_make_another_id(tmp_path: Path, first: bytes, second: bytes) -> None:
    """Wherever in the file they stand."""
    assert state_id(tmp_path, first) != state_id(tmp_path, second)


def test_the_same_file_and_flags_make_the_same_id(tmp_path: Path) -> None:
    """Sessions go on when a model is imported again."""
    assert state_id(tmp_path, decays(0.5)) == state_id(tmp_path, decays(0.5))


def test_another_constant_makes_another_id(tmp_path: Path) -> None:
    """A state that grew at one sample rate is none of another."""
    assert state_id(tmp_path, decays(0.5), "0.5") != state_id(tmp_path, decays(0.5), "0.9")


def test_torchscript_is_told_apart_by_all_that_forward_reads(tmp_path: Path) -> None:
    """Attributes that are no weights, and constants, are part of the model."""
    shapes = ("--input", "x:float32:batch,4", "--input", "h:float32:batch,4")
    flags = (*shapes, "--state", "h=output_1", "--sent", "x")
    data = script_bytes(Gained(0.5))
    first = state_id(tmp_path, data, "0.5", *flags)
    assert first == state_id(tmp_path, data, "0.5", *flags)
    assert first != state_id(tmp_path, data, "0.9", *flags)
    assert first != state_id(tmp_path, script_bytes(Gained(0.9)), "0.5", *flags)
