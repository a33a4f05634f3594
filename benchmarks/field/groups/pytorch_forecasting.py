"""pytorch-forecasting: networks made from a data set, and the recurrent layer of their own."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, batch_first

_HORIZON = 3


def _data() -> Any:
    import pandas as pd
    from pytorch_forecasting import TimeSeriesDataSet

    steps = 60
    frame = pd.DataFrame(
        {
            "series": ["a"] * steps + ["b"] * steps,
            "time": [*range(steps)] * 2,
            "value": torch.randn(2 * steps).numpy(),
            "known": torch.randn(2 * steps).numpy(),
        }
    )
    return TimeSeriesDataSet(
        frame,
        time_idx="time",
        target="value",
        group_ids=["series"],
        max_encoder_length=12,
        max_prediction_length=_HORIZON,
        time_varying_known_reals=["known"],
        time_varying_unknown_reals=["value"],
    )


def _recurrent() -> nn.Module:
    from pytorch_forecasting import RecurrentNetwork

    network: nn.Module = RecurrentNetwork.from_dataset(_data(), hidden_size=6, rnn_layers=2)
    return network


def _deepar() -> nn.Module:
    from pytorch_forecasting import DeepAR

    network: nn.Module = DeepAR.from_dataset(_data(), hidden_size=6, rnn_layers=2)
    return network


def _lstm() -> nn.Module:
    from pytorch_forecasting.models.nn.rnn import LSTM

    layer: nn.Module = LSTM(4, 6, batch_first=True)
    return layer


def _batch(batch: int, time: int) -> tuple[Any, ...]:
    return (
        {
            "encoder_cat": torch.zeros(batch, time, 0, dtype=torch.long),
            "encoder_cont": torch.randn(batch, time, 2),
            "encoder_target": torch.randn(batch, time),
            "encoder_lengths": torch.full((batch,), time),
            "decoder_cat": torch.zeros(batch, _HORIZON, 0, dtype=torch.long),
            "decoder_cont": torch.randn(batch, _HORIZON, 2),
            "decoder_target": torch.randn(batch, _HORIZON),
            "decoder_lengths": torch.full((batch,), _HORIZON),
            "target_scale": torch.rand(batch, 2) + 0.5,
        },
    )


CASES = (
    Case("RecurrentNetwork", _recurrent, _batch, serves="whole", least=2),
    Case("DeepAR", _deepar, _batch, serves="whole", least=2),
    Case("LSTM", _lstm, batch_first(4)),
)
