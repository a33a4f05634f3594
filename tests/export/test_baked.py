"""A state that a trace has kept at the batch of its example ends in words, not in the process."""

import io

import pytest
import torch
from torch import nn

from carousel.export.legacy import legacy_quiet
from carousel.export.programs.runtime import load_call
from carousel.models.spec import InputSpec, ModelSpec, OutputSpec


class _Keeps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 8)
        self.register_buffer("h", torch.zeros(1, 3, 8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layer(x, (self.h, self.h))[0],)


def test_an_lstm_with_the_state_of_another_batch_is_not_run() -> None:
    """torch itself would read beyond the state; the batch of the example runs."""
    buffer = io.BytesIO()
    with legacy_quiet(), torch.no_grad():
        torch.jit.save(torch.jit.trace(_Keeps().eval(), torch.randn(5, 3, 4)), buffer)  # type: ignore[no-untyped-call]
    spec = ModelSpec(
        inputs=(InputSpec(name="x", dtype="float32", axes=("time", "batch", 4)),),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("time", "batch", 8), per="step"),),
    )
    call = load_call("torchscript", buffer.getvalue(), spec)
    assert call({"x": torch.randn(5, 3, 4)})["y"].shape == (5, 3, 8)
    with pytest.raises(RuntimeError, match="TorchScript interpreter"):
        call({"x": torch.randn(5, 1, 4)})
