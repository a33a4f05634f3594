"""tsai: classifiers of series, (B, F, T) in and one answer a sequence out."""

from functools import cache
from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, features_first


@cache
def _declare() -> None:
    """The registry's torchvision is made for CUDA. Beside a CPU torch its operators do not load,
    and its import fails over two of them, which nothing here uses.
    """
    if torch.version.cuda is None:
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}", "(Tensor boxes, Tensor scores, float least) -> Tensor"
            )


def _model(name: str, *arguments: int, **changes: Any) -> nn.Module:
    _declare()
    import tsai.models.all

    module: nn.Module = getattr(tsai.models.all, name)(*arguments, **changes)
    return module


def _case(label: str, serves: Any, name: str, *arguments: int, **changes: Any) -> Case:
    return Case(
        label,
        lambda: _model(name, *arguments, **changes),
        features_first(3),
        serves=serves,
        time=20,
    )


CASES = (
    _case("LSTM", "last", "LSTM", 3, 2, hidden_size=6, n_layers=2),
    _case("GRU", "last", "GRU", 3, 2, hidden_size=6),
    _case("LSTM, both directions", "whole", "LSTM", 3, 2, hidden_size=6, bidirectional=True),
    _case("LSTMPlus", "last", "LSTMPlus", 3, 2, hidden_size=6),
    _case(
        "LSTM_FCN",
        "whole",
        "LSTM_FCN",
        3,
        2,
        shuffle=False,
        hidden_size=6,
        **{"conv_layers": [4, 4, 4]},
    ),
    _case("LSTM_FCN, shuffled", "whole", "LSTM_FCN", 3, 2, 20, hidden_size=6),
    _case("LSTMAttention", "whole", "LSTMAttention", 3, 2, 20, hidden_size=6, n_heads=2),
    _case("TransformerLSTMPlus", "whole", "TransformerLSTMPlus", 3, 2, 20, d_model=8, nhead=2),
)
