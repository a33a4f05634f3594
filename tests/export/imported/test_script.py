"""What a TorchScript forward takes and an ONNX file holds, and how the importer asks for more."""

from pathlib import Path

import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from tests.export.imported.foreign.files import script_bytes
from tests.export.imported.foreign.graphs import Ends, cell, onnx_graph
from tests.export.imported.outcome import run_import

X, H = "x:float32:batch,4", "h:float32:batch,4"


class Moded(nn.Module):
    """Two parameters of types that nobody can send, each with a default."""

    def forward(
        self, x: Tensor, h: Tensor, mode: str = "fast", sizes: dict[str, int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """x and h (B, 4)."""
        h = torch.tanh(x + h)
        return (h * 2 if mode == "fast" else h), h


class Many(nn.Module):
    """Two states in a list."""

    def forward(self, x: Tensor, h: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """All (B, 4)."""
        first = torch.tanh(x + h[0])
        second = torch.tanh(first + 0.5 * h[1])
        return second * 2, first, second


class Lone(nn.Module):
    """A state that may be left out, called `h`."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 5)."""
        y, after = self.gru(x, h)
        return y, after


def test_a_parameter_with_a_default_may_be_of_any_type(tmp_path: Path) -> None:
    """It is left at its default, and that is said."""
    flags = ("--input", X, "--input", H, "--state", "h=output_1", "--sent", "x")
    outcome = run_import(tmp_path, script_bytes(Moded()), *flags)
    assert outcome.code == 0, outcome.said
    assert "the input mode is left at its default" in outcome.said
    asked = run_import(tmp_path, script_bytes(Moded()), *flags, "--input", "mode:float32:1")
    assert "forward's mode is str, which is neither a tensor nor a number" in asked.said


@pytest.mark.parametrize("flags", [(), ("--input", H)], ids=["not named", "named as one"])
def test_tensors_in_a_list_are_named_one_by_one(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """How, is said before anything else; so named they are states as any others."""
    data = script_bytes(Many())
    outcome = run_import(tmp_path, data, "--input", X, *flags)
    assert outcome.code == 3
    assert "forward's h is List[Tensor]: name what is in it, h.0, h.1" in outcome.said
    named = ("--input", "h.0:float32:batch,4", "--input", "h.1:float32:batch,4")
    pairs = ("--state", "h.0=output_1", "--state", "h.1=output_2")
    assert run_import(tmp_path, data, "--input", X, *named, *pairs).code == 0


def test_a_state_with_a_default_is_asked_for(tmp_path: Path) -> None:
    """A lone `h` as well: left out, every call would start anew."""
    data = script_bytes(Lone())
    outcome = run_import(tmp_path, data, "--input", "x:float32:batch,time,4")
    assert outcome.code == 3
    assert "(or --constant NAME=VALUE) for h" in outcome.said


@pytest.mark.parametrize("domain", ["ai.onnx.contrib", "com.microsoft.ext", "com.microsoftish"])
def test_operators_of_other_libraries_are_named(tmp_path: Path, domain: str) -> None:
    """Even where their domain begins as ONNX's own does."""
    node = helper.make_node("Fancy", ["x"], ["y"], domain=domain)
    data = onnx_graph([node], {"x": ["N", 4]}, {"y": ["N", 4]}, domain=domain)
    outcome = run_import(tmp_path, data)
    assert f"operators that ONNX Runtime has not: {domain}::Fancy" in outcome.said


@pytest.mark.parametrize("turned", [False, True])
def test_outputs_whose_size_depends_on_values_are_refused(tmp_path: Path, turned: bool) -> None:
    """None of them has a shape to be promised, though it is empty in most runs."""
    nodes = [
        helper.make_node("Constant", [], ["five"], value_float=5.0),
        helper.make_node("Greater", ["x", "five"], ["loud"]),
        helper.make_node("NonZero", ["loud"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
    ]
    ends: Ends = {"rows": ["K", 2]} if turned else {"places": [2, "K"]}
    data = cell(nodes if turned else nodes[:3], ends, dtypes=dict.fromkeys(ends, "int64"))
    outcome = run_import(tmp_path, data)
    assert outcome.code == 1, outcome.said
    assert "--output" in outcome.said.splitlines()[-1]
    assert run_import(tmp_path, data, "--output", "y").code == 0
