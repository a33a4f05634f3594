"""What a service says of a model, as its client reads it."""

from typing import Any

F, NUM_OUTPUTS = 3, 100


def describe(num_inputs: int = 1, **more: Any) -> dict[str, Any]:
    """A model of `num_inputs` inputs (time, 3) and one output (time, 100), as a server says it."""
    inputs = [
        {"name": f"x{index}", "dtype": "float32", "shape": ["time", "batch", F]}
        for index in range(num_inputs)
    ]
    return {
        "name": "m",
        "version": 1,
        "versions": [1],
        "program": "onnx",
        "device": "cpu",
        "streaming": "step",
        "inputs": inputs,
        "outputs": [
            {
                "name": "y",
                "dtype": "float32",
                "shape": ["time", "batch", NUM_OUTPUTS],
                "per": "step",
            }
        ],
        "states": [{"name": "h", "dtype": "float32", "shape": [1, "batch", 4]}],
        "parity": {},
        "max_steps": 100,
    } | more
