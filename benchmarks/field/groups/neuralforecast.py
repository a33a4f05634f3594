"""neuralforecast: forecasters that take a window and give the next steps of it."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case


def _model(name: str, horizon: int = 4, **changes: Any) -> nn.Module:
    import neuralforecast.models

    settings: dict[str, Any] = {
        "h": horizon,
        "input_size": 12,
        "max_steps": 1,
        "accelerator": "cpu",
    }
    settings |= {"encoder_hidden_size": 6, "decoder_hidden_size": 6} | changes
    model: nn.Module = getattr(neuralforecast.models, name)(**settings)
    return model


def _deepar() -> nn.Module:
    import neuralforecast.models

    model: nn.Module = neuralforecast.models.DeepAR(
        h=4, input_size=12, lstm_hidden_size=6, max_steps=1, accelerator="cpu"
    )
    return model


def _tcn() -> nn.Module:
    return _model("TCN")


def _window(batch: int, time: int) -> tuple[Any, ...]:
    return (
        {
            "insample_y": torch.randn(batch, time, 1),
            "insample_mask": torch.ones(batch, time, 1),
            "futr_exog": None,
            "hist_exog": None,
            "stat_exog": None,
        },
    )


CASES = (
    Case("LSTM, four ahead", lambda: _model("LSTM"), _window, serves="whole", least=4),
    Case("LSTM, one ahead", lambda: _model("LSTM", 1), _window, serves="last"),
    Case("GRU, recurrent", lambda: _model("GRU", 1, recurrent=True), _window, serves="last"),
    Case("DilatedRNN", lambda: _model("DilatedRNN", 1), _window, serves="last"),
    Case("DeepAR", _deepar, _window, serves="whole", least=4),
    Case("TCN", _tcn, _window, serves="whole", least=4),
)
