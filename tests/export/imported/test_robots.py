"""Policies and filters as other tools write them: names that are clear, memories in one tensor,
caches that begin as no number, and files of torch's newer exporter.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from carousel.models.artifact import Artifact
from tests.export.imported.foreign.files import onnx_bytes
from tests.export.imported.outcome import run_import

_RECORDED = Path(__file__).parents[2] / "recorded" / "files"


class Packed(nn.Module):
    """ML-Agents: h and c side by side in one memory."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(
        self, obs_0: Tensor, action_masks: Tensor, recurrent_in: Tensor
    ) -> tuple[Tensor, ...]:
        """obs_0 (B, 6), action_masks (B, 3), recurrent_in (B, 1, 16)."""
        h, c = torch.split(recurrent_in.transpose(0, 1), 8, dim=-1)
        y, (h, c) = self.lstm(obs_0.unsqueeze(1), (h.contiguous(), c.contiguous()))
        return self.head(y.squeeze(1)) * action_masks, torch.cat([h, c], -1).transpose(0, 1)


class Policy(nn.Module):
    """Legged robots: an observation, h and c."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 8), nn.Linear(8, 3)

    def forward(self, obs: Tensor, h_in: Tensor, c_in: Tensor) -> tuple[Tensor, ...]:
        """obs (B, 6), h_in and c_in (1, B, 8)."""
        y, (h, c) = self.lstm(obs.unsqueeze(0), (h_in, c_in))
        return self.head(y.squeeze(0)), h, c


class Sees(nn.Module):
    """An image, a vector and a mask, with states of two ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.keep = nn.Conv2d(3 + 2, 2, 3, padding=1), nn.GRUCell(2 * 36 + 4, 8)
        self.head = nn.Linear(8, 3)

    def forward(
        self, image: Tensor, proprio: Tensor, mask: Tensor, map_state: Tensor, h_in: Tensor
    ) -> tuple[Tensor, ...]:
        """image (B, 3, 6, 6), proprio (B, 4), mask (B, 3), map_state (B, 2, 6, 6), h_in (B, 8)."""
        seen = torch.tanh(self.look(torch.cat([image, map_state], 1)))
        h = self.keep(torch.cat([seen.flatten(1), proprio], 1), h_in)
        return self.head(h) * mask, seen, h


class Cache(nn.Module):
    """The last five steps, of which those that have not been are no numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Linear(4, 4)

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, ...]:
        """x (B, 1, 4), cache (B, 5, 4)."""
        cache = torch.cat([cache[:, 1:], self.turn(x)], 1)
        known = torch.where(torch.isnan(cache) | torch.isinf(cache), torch.zeros_like(cache), cache)
        return known.sum(1), cache


class Layer(nn.Module):
    """What the recorded file was made of: torch.onnx.export(dynamo=True) with seed 0, h0 and x of
    open sizes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.l, self.o = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h0 (1, B, 8)."""
        y, h = self.l(x, h0)
        return self.o(y), h


def runs(
    artifact: Artifact, frames: list[dict[str, Tensor]], states: dict[str, Tensor]
) -> list[Tensor]:
    """The first output of each frame, the states handed on as the artifact says."""
    spec = artifact.manifest.spec
    session = ort.InferenceSession(
        artifact.read(artifact.manifest.programs["onnx"].file), providers=["CPUExecutionProvider"]
    )
    names = [spec.outputs[0].name, *(each.output for each in spec.states if each.output)]
    found: list[Tensor] = []
    for frame in frames:
        given = {name: each.numpy() for name, each in {**frame, **states}.items()}
        first, *after = session.run(names, given)
        found.append(torch.from_numpy(np.asarray(first)))
        states = {
            each.name: torch.from_numpy(np.asarray(value))
            for each, value in zip(spec.states, after, strict=True)
        }
    return found


ROBOTS: Mapping[str, tuple[type[nn.Module], dict[str, tuple[int, ...]], dict[str, str]]] = {
    "packed": (
        Packed,
        {"obs_0": (2, 6), "action_masks": (2, 3), "recurrent_in": (2, 1, 16)},
        {"recurrent_in": "recurrent_out"},
    ),
    "policy": (
        Policy,
        {"obs": (2, 6), "h_in": (1, 2, 8), "c_in": (1, 2, 8)},
        {"h_in": "h_out", "c_in": "c_out"},
    ),
    "sees": (
        Sees,
        {
            "image": (2, 3, 6, 6),
            "proprio": (2, 4),
            "mask": (2, 3),
            "map_state": (2, 2, 6, 6),
            "h_in": (2, 8),
        },
        {"map_state": "map_state_out", "h_in": "h_out"},
    ),
}


@pytest.mark.parametrize("name", ROBOTS)
def test_a_policy_streams_as_its_module_does(tmp_path: Path, name: str) -> None:
    """Without a flag; what it answers in eight frames is what the module answers."""
    kind, sizes, pairs = ROBOTS[name]
    torch.manual_seed(0)
    module = kind().eval()
    example = {key: torch.randn(size) for key, size in sizes.items()}
    rows = {key: {1 if size[0] == 1 else 0: "batch"} for key, size in sizes.items()}
    rows |= {"action": {0: "batch"}} | {new: rows[old] for old, new in pairs.items()}
    data = onnx_bytes(module, example, ["action", *pairs.values()], rows)
    artifact = run_import(tmp_path, data).artifact
    assert {each.name: each.output for each in artifact.manifest.spec.states} == pairs
    assert artifact.manifest.spec.streaming == "step"
    states = {key: torch.zeros(sizes[key]) for key in pairs}
    frames = [
        {key: torch.randn(size) for key, size in sizes.items() if key not in pairs}
        for _ in range(8)
    ]
    wanted, kept = [], states
    with torch.no_grad():
        for frame in frames:
            first, *after = module(**frame, **kept)
            wanted.append(first)
            kept = dict(zip(pairs, after, strict=True))
    for found, expected in zip(runs(artifact, frames, states), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("empty", [float("nan"), float("-inf")])
def test_a_cache_may_begin_as_no_number(tmp_path: Path, empty: float) -> None:
    """Sessions are opened with what stands for nothing, and go on from it."""
    torch.manual_seed(0)
    module = Cache().eval()
    example = {"x": torch.randn(2, 1, 4), "cache": torch.full((2, 5, 4), empty)}
    rows = {key: {0: "batch"} for key in ("x", "cache", "y", "new_cache")}
    artifact = run_import(tmp_path, onnx_bytes(module, example, ["y", "new_cache"], rows)).artifact
    assert {e.name: e.output for e in artifact.manifest.spec.states} == {"cache": "new_cache"}
    frames, kept = [{"x": torch.randn(2, 1, 4)} for _ in range(7)], example["cache"]
    wanted = []
    with torch.no_grad():
        for frame in frames:
            y, kept = module(frame["x"], kept)
            wanted.append(y)
    found = runs(artifact, frames, {"cache": example["cache"]})
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted), atol=1e-5, rtol=1e-5)


def test_a_file_of_the_newer_exporter_streams(tmp_path: Path) -> None:
    """As the module that it was made from answers the whole."""
    data = (_RECORDED / "dynamo_gru.onnx").read_bytes()
    artifact = run_import(tmp_path, data).artifact
    assert {e.name: e.output for e in artifact.manifest.spec.states} == {"h0": "hn"}
    assert artifact.manifest.spec.streaming == "step"
    torch.manual_seed(0)
    module, x = Layer().eval(), torch.randn(3, 9, 4)
    with torch.no_grad():
        wanted = module(x, torch.zeros(1, 3, 8))[0]
    frames = [{"x": x[:, a:b]} for a, b in ((0, 1), (1, 5), (5, 9))]
    found = runs(artifact, frames, {"h0": torch.zeros(1, 3, 8)})
    torch.testing.assert_close(torch.cat(found, 1), wanted, atol=1e-5, rtol=1e-5)
