"""The smallest artifact there can be."""

import numpy as np
from safetensors.numpy import save as save_safetensors

from carousel.models.manifest import (
    FORMAT,
    Manifest,
    Parity,
    Program,
)
from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec

MANIFEST = Manifest(
    format=FORMAT,
    name="tiny",
    created_at="2026-01-01T00:00:00Z",
    state_id="w",
    spec=ModelSpec(
        inputs=(InputSpec(name="x", dtype="int64", axes=("batch", "time"), low=0, high=9),),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 2), per="sequence"),),
        states=(StateSpec(name="h", dtype="float32", axes=(1, "batch", 2), output="h_out"),),
        streaming="last",
    ),
    programs={"onnx": Program(file="model.onnx", ragged="exact", tolerance=1e-5, max_error=3e-7)},
    parity=Parity(cases=()),
    golden="golden.safetensors",
    initial="initial.safetensors",
    tools={"torch": "2"},
    files={},
)


FILES = {
    "model.onnx": b"program",
    "golden.safetensors": save_safetensors({"input.x": np.arange(4)}),
    "initial.safetensors": save_safetensors({"h": np.ones((1, 2), np.float32)}),
}
