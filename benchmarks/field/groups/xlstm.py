"""xlstm: blocks of scalar and matrix memories."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, batch_first, tokens


def _stack(**blocks: Any) -> nn.Module:
    from xlstm import xLSTMBlockStack, xLSTMBlockStackConfig

    module: nn.Module = xLSTMBlockStack(
        xLSTMBlockStackConfig(context_length=32, num_blocks=1, embedding_dim=8, **blocks)
    )
    return module


def _slstm() -> Any:
    from xlstm import FeedForwardConfig, sLSTMBlockConfig, sLSTMLayerConfig

    layer = sLSTMLayerConfig(backend="vanilla", num_heads=2, conv1d_kernel_size=4)
    return sLSTMBlockConfig(slstm=layer, feedforward=FeedForwardConfig(proj_factor=1.3))


def _mlstm() -> Any:
    from xlstm import mLSTMBlockConfig, mLSTMLayerConfig

    layer = mLSTMLayerConfig(conv1d_kernel_size=4, qkv_proj_blocksize=4, num_heads=2)
    return mLSTMBlockConfig(mlstm=layer)


def _step() -> nn.Module:
    class Step(nn.Module):
        """The library's way to generate: `step` and the state that it hands back."""

        def __init__(self) -> None:
            super().__init__()
            self.stack: Any = _stack(mlstm_block=_mlstm(), slstm_at=[])

        def forward(self, x: torch.Tensor, state: Any) -> Any:
            return self.stack.step(x, state)

    return Step()


def _large() -> nn.Module:
    from xlstm.xlstm_large.model import xLSTMLarge, xLSTMLargeConfig

    module: nn.Module = xLSTMLarge(
        xLSTMLargeConfig(
            embedding_dim=16,
            num_heads=2,
            num_blocks=1,
            vocab_size=20,
            return_last_states=True,
            mode="inference",
            chunkwise_kernel="chunkwise--native_autograd",
            sequence_kernel="native_sequence__native",
            step_kernel="native",
        )
    )
    return module


def _with_state(batch: int, time: int) -> tuple[Any, ...]:
    # The library's blocks widen 8 features to 64, in two heads.
    memory = (
        torch.zeros(batch, 2, 32, 32),
        torch.zeros(batch, 2, 32, 1),
        torch.zeros(batch, 2, 1, 1),
    )
    return (
        torch.randn(batch, 1, 8),
        {"block_0": {"mlstm_state": memory, "conv_state": (torch.zeros(batch, 4, 64),)}},
    )


CASES = (
    Case("sLSTM block", lambda: _stack(slstm_block=_slstm(), slstm_at=[0]), batch_first(8)),
    # In its parallel form, every step looks at all the others.
    Case(
        "mLSTM block",
        lambda: _stack(mlstm_block=_mlstm(), slstm_at=[]),
        batch_first(8),
        serves="whole",
    ),
    Case("mLSTM step", _step, _with_state, carry=lambda args, out: (args[0], out[1])),
    Case("xLSTMLarge", _large, tokens(20)),
)
