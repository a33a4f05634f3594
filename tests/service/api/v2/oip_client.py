"""The official client of the Open Inference Protocol, as the tests use it."""

from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient as Client
from tritonclient.http import InferInput, InferResult

from carousel.models.row import Array
from tests.harness.client import MODEL, TOLERANCE
from tests.harness.served import Served, run_lstm


def given(x: Array, *, binary: bool = True, name: str = "input") -> InferInput:
    """One input."""
    datatype = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}[x.dtype.name]
    return InferInput(name, list(x.shape), datatype).set_data_from_numpy(x, binary)


def step(client: Client, x: Array, sequence_id: int | str, **more: Any) -> InferResult:
    """A step of a sequence on the LSTM; `x` is (T, F)."""
    position = more.pop("position", None)
    custom = None if position is None else {"position": position}
    return client.infer(MODEL, [given(x[None])], sequence_id=sequence_id, parameters=custom, **more)


def told(result: InferResult) -> Any:
    """The response's parameters."""
    return result.get_response()["parameters"]


def expect(served: dict[str, Served], result: InferResult, *fed: Array) -> None:
    """The result is the eager module's for the last of what was fed, one after another."""
    output, _, _ = run_lstm(served[MODEL].module, np.concatenate(fed))  # (T, H)
    found = result.as_numpy("output")
    assert found.shape == (1, len(fed[-1]), output.shape[1])
    np.testing.assert_allclose(found[0], output[-len(fed[-1]) :], rtol=0, atol=TOLERANCE)
