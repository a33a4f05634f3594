"""minGRU-pytorch: gated recurrences that run as a parallel scan."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, batch_first, tokens


def _mingru() -> nn.Module:
    from minGRU_pytorch import minGRU

    return minGRU(8, expansion_factor=1.5)


def _minlstm() -> nn.Module:
    from minGRU_pytorch.minLSTM import minLSTM

    return minLSTM(8)


def _language_model() -> nn.Module:
    from minGRU_pytorch.minLM import minLM

    return minLM(num_tokens=20, dim=8, depth=2)


def _language_model_conv() -> nn.Module:
    from minGRU_pytorch.minLM import minLM

    return minLM(num_tokens=20, dim=8, depth=1, enable_conv=True)


def _with_state(batch: int, time: int) -> tuple[Any, ...]:
    return torch.randn(batch, time, 8), torch.rand(batch, 1, 12), True


CASES = (
    Case("minGRU", _mingru, batch_first(8)),
    Case("minGRU, state given", _mingru, _with_state),
    Case("minLSTM", _minlstm, batch_first(8)),
    Case("minLM", _language_model, tokens(20)),
    Case("minLM, convolution", _language_model_conv, tokens(20)),
)
