"""torchrl: recurrent modules over tensor dictionaries, and its recurrences in plain Python."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, batch_first, frame


def _lstm_module() -> nn.Module:
    from torchrl.modules import LSTMModule

    return LSTMModule(
        input_size=4,
        hidden_size=6,
        in_keys=["observation", "rs_h", "rs_c"],
        out_keys=["intermediate", ("next", "rs_h"), ("next", "rs_c")],
    )


def _gru_module() -> nn.Module:
    from torchrl.modules import GRUModule

    return GRUModule(
        input_size=4,
        hidden_size=6,
        in_keys=["observation", "rs"],
        out_keys=["intermediate", ("next", "rs")],
    )


def _python_lstm() -> nn.Module:
    from torchrl.modules import LSTM

    return LSTM(4, 6, num_layers=2, batch_first=True)


def _python_gru() -> nn.Module:
    from torchrl.modules import GRU

    return GRU(4, 6, batch_first=True)


def _python_cell() -> nn.Module:
    from torchrl.modules import LSTMCell

    return LSTMCell(4, 6)


def _dictionary(*states: str) -> Any:
    def inputs(batch: int, time: int) -> tuple[Any, ...]:
        from tensordict import TensorDict

        values = {name: torch.zeros(batch, 1, 6) for name in states}
        values |= {
            "observation": torch.randn(batch, 4),
            "is_init": torch.zeros(batch, 1, dtype=torch.bool),
        }
        return (TensorDict(values, batch_size=[batch]),)

    return inputs


def _next(args: tuple[Any, ...], out: Any) -> tuple[Any, ...]:
    (given,) = args
    for name in ("rs", "rs_h", "rs_c"):
        if ("next", name) in out.keys(True):
            given[name] = out["next", name]
    return (given,)


def _cell_inputs(batch: int, time: int) -> tuple[Any, ...]:
    return (*frame(4)(batch, time), (torch.zeros(batch, 6), torch.zeros(batch, 6)))


CASES = (
    Case("LSTMModule", _lstm_module, _dictionary("rs_h", "rs_c"), carry=_next),
    Case("GRUModule", _gru_module, _dictionary("rs"), carry=_next),
    Case("LSTM in Python", _python_lstm, batch_first(4)),
    Case("GRU in Python", _python_gru, batch_first(4)),
    Case("LSTMCell", _python_cell, _cell_inputs, carry=lambda args, out: (args[0], out)),
)
