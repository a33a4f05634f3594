"""Operators that torch writes to ONNX wrongly, or not at all, beside torch itself."""

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from carousel.export.legacy import legacy_quiet
from carousel.export.programs.onnx import Port, export_graph, finish

Binary = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_LARGE = [0.0, 0.3, 1.0, 5.0, 21.0, 60.0, 90.0, 300.0, 1e5]
OPERATORS: dict[str, Binary] = {
    "log_sigmoid": lambda x, y: F.logsigmoid(x),
    "logaddexp": torch.logaddexp,
    "floor_divide": lambda x, y: x // 7,
    "floor_divide of integers": lambda x, y: (x.long() // 7).float(),
    "swapaxes": lambda x, y: x.swapaxes(0, 1),
    "swapdims": lambda x, y: x.swapdims(0, 1),
    "rms_norm": lambda x, y: F.rms_norm(x, (18,), y[0], 1e-5),
    "rms_norm without": lambda x, y: F.rms_norm(x, (18,)),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y + 9, value=0.5),
    "xlogy": lambda x, y: torch.xlogy(x, y.abs()),
    "trunc": lambda x, y: torch.trunc(x),
    "frac": lambda x, y: torch.frac(y),
    "exp2": lambda x, y: torch.exp2(y),
    "expm1": lambda x, y: torch.expm1(y),
    "erfc": lambda x, y: torch.erfc(y),
    "hypot": torch.hypot,
    "sinh": lambda x, y: torch.sinh(y),
    "cosh": lambda x, y: torch.cosh(y),
    "asinh": lambda x, y: torch.asinh(x),
    "acosh": lambda x, y: torch.acosh(1 + y.abs()),
    "atanh": lambda x, y: torch.atanh(torch.tanh(y) * 0.9),
}


class _Net(nn.Module):
    def __init__(self, function: Binary) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.function(x, y)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_what_torch_computes(name: str) -> None:
    """Also at values far from zero, on both sides of it."""
    values = torch.tensor([*_LARGE, *(-each for each in _LARGE)])  # (18,)
    x = torch.stack([values, values.flip(0), values.roll(4)])
    y = torch.randn(3, 18, generator=torch.Generator().manual_seed(1))
    net = _Net(OPERATORS[name])
    expected = net(x, y)
    inputs = [Port("x", tuple(x.shape)), Port("y", tuple(y.shape))]
    outputs = [Port("found", tuple(expected.shape))]
    with legacy_quiet():
        traced = torch.jit.trace(net, (x, y))  # type: ignore[no-untyped-call]
        graph = export_graph(traced, net, (x, y), inputs, outputs)
    data = finish(graph, inputs, outputs, None, False)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x.numpy(), "y": y.numpy()})
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-5, atol=1e-6)
