"""Rows of strangers and steps to come have no part in an answer, however loud or small they are."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from tests.export.imported.foreign.files import script_bytes
from tests.export.imported.foreign.graphs import cell, onnx_graph
from tests.export.imported.outcome import run_import

HEARD = "depends on the rows beside it"


class Scaled(nn.Module):
    """A GRU over time whose outputs are small, and may look at what is still to come."""

    def __init__(self, scale: float, looks_ahead: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.forth = nn.GRU(4, 5, batch_first=True)
        self.back = nn.GRU(4, 5, batch_first=True)
        self.scale = scale
        self.looks_ahead = looks_ahead

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 5)."""
        y, h = self.forth(x, h)
        if self.looks_ahead:
            y = y + self.back(x.flip(1))[0].flip(1)
        return y * self.scale, h


class Far(nn.Module):
    """A GRU whose small outputs look ten steps ahead."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.forth = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 5)."""
        y, h = self.forth(x, h)
        ahead = torch.cat([x, torch.zeros_like(x[:, :1]).repeat(1, 10, 1)], 1)[:, 10:, :1]
        return (y + ahead) * 1e-8, h


SCALED = ("--input", "x:float32:batch,time,4", "--input", "h:float32:1,batch,5")


def follows(*nodes: onnx.NodeProto) -> bytes:
    """A cell, and its input times a `gain` that these nodes find in the loudness of each row."""
    return cell(
        [
            helper.make_node("Abs", ["x"], ["values"]),
            helper.make_node("ReduceMax", ["values"], ["loudness"], axes=[1], keepdims=0),
            *nodes,
            helper.make_node("Mul", ["x", "gain"], ["z"]),
        ],
        {"z": ["N", 4]},
        {
            "six": np.array(6, np.float32),
            "million": np.array(1e6, np.float32),
            "zero": np.array(0, np.float32),
            "one": np.array(1, np.float32),
        },
    )


UNUSUAL = {
    "loud": follows(
        helper.make_node("ReduceMax", ["loudness"], ["loudest"], keepdims=0),
        helper.make_node("Max", ["loudest", "six"], ["peak"]),
        helper.make_node("Reciprocal", ["peak"], ["gain"]),
    ),
    "silent": follows(
        helper.make_node("ReduceMin", ["loudness"], ["quietest"], keepdims=0),
        helper.make_node("Mul", ["quietest", "million"], ["many"]),
        helper.make_node("Clip", ["many", "zero", "one"], ["gain"]),
    ),
}


def centred(scale: float) -> bytes:
    """Frames less the mean of the batch, at a size of `scale`."""
    return onnx_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["rest"]),
            helper.make_node("Mul", ["rest", "scale"], ["y"]),
            helper.make_node("Add", ["x", "h"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["hn"]),
        ],
        {"x": ["N", 4], "h": ["N", 4]},
        {"y": ["N", 4], "hn": ["N", 4]},
        {"scale": np.array(scale, np.float32)},
    )


@pytest.mark.parametrize("neighbours", UNUSUAL)
def test_rows_that_mix_beside_unusual_neighbours_run_one_by_one(
    tmp_path: Path, neighbours: str
) -> None:
    """A neighbour that is loud, or silent, is tried as well as one like the row itself."""
    outcome = run_import(tmp_path, UNUSUAL[neighbours])
    assert f"one row at a time: a row of z {HEARD}" in outcome.said
    assert not outcome.artifact.manifest.spec.has_batch
    stated = run_import(tmp_path, UNUSUAL[neighbours], "--input", "x:float32:batch,4")
    assert stated.code == 1
    assert HEARD in stated.said


@pytest.mark.parametrize("scale", [1e-6, 1e-12, 1e-30])
def test_rows_that_mix_in_small_outputs_run_one_by_one(tmp_path: Path, scale: float) -> None:
    """What a stranger adds is measured by the size of the output itself."""
    outcome = run_import(tmp_path, centred(scale))
    assert HEARD in outcome.said
    assert not outcome.artifact.manifest.spec.has_batch


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-12])
def test_small_outputs_that_look_ahead_are_no_stream(tmp_path: Path, scale: float) -> None:
    """A step that knows what comes after it is refused at any size."""
    outcome = run_import(tmp_path, script_bytes(Scaled(scale, looks_ahead=True)), *SCALED)
    assert outcome.code == 1
    assert "the pairs do not hold when run" in outcome.said


def test_small_outputs_that_look_far_ahead_are_no_stream(tmp_path: Path) -> None:
    """Further than the first proof goes: the model is served in whole sequences."""
    spec = run_import(tmp_path, script_bytes(Far()), *SCALED).artifact.manifest.spec
    assert spec.streaming == "none"
    assert spec.streaming_reason is not None
    assert "a step knows what comes after it" in spec.streaming_reason


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4, 1e-6, 1e-12, 1e-30])
def test_small_outputs_of_a_stream_are_served(tmp_path: Path, scale: float) -> None:
    """Rounding is no reason to refuse a model, however small its outputs are."""
    outcome = run_import(tmp_path, script_bytes(Scaled(scale, looks_ahead=False)), *SCALED)
    spec = outcome.artifact.manifest.spec
    assert (spec.streaming, spec.has_batch) == ("step", True)
