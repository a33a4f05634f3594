"""neuralhydrology: rainfall-runoff models, made from a configuration."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case


def _model(name: str, **changes: Any) -> nn.Module:
    from neuralhydrology.modelzoo import get_model
    from neuralhydrology.utils.config import Config

    settings = {
        "model": name,
        "head": "regression",
        "output_activation": "linear",
        "hidden_size": 6,
        "initial_forget_bias": 3,
        "output_dropout": 0.0,
        "dynamic_inputs": ["rain", "temperature"],
        "static_attributes": ["area", "slope"],
        "target_variables": ["runoff"],
        "predict_last_n": 1,
        "seq_length": 12,
        "use_frequencies": [],
        **changes,
    }
    module: nn.Module = get_model(Config(settings))
    return module


def _forcings(batch: int, time: int) -> tuple[Any, ...]:
    return (
        {
            "x_d": {name: torch.randn(batch, time, 1) for name in ("rain", "temperature")},
            "x_s": torch.randn(batch, 2),
        },
    )


CASES = (
    # They return h_n with the batch first, which belongs to the last step.
    Case("CudaLSTM", lambda: _model("cudalstm"), _forcings, serves="last"),
    Case("CustomLSTM", lambda: _model("customlstm"), _forcings),
    Case("EALSTM", lambda: _model("ealstm"), _forcings),
    Case("GRU", lambda: _model("gru"), _forcings, serves="last"),
    # It divides by a norm over the whole batch: one row a run is all that can be served.
    Case("MC-LSTM", lambda: _model("mclstm", mass_inputs=["rain"]), _forcings),
)
