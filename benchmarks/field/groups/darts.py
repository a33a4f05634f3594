"""darts: the torch modules inside its recurrent forecasting models."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case


def _inside(model: Any) -> nn.Module:
    """The module of a model after one epoch, as `model.model` has it."""
    import numpy as np
    from darts import TimeSeries

    series = TimeSeries.from_values(np.sin(np.arange(60, dtype=np.float32)))
    model.fit(series)
    module: nn.Module = model.model.cpu()
    return module


def _settings() -> dict[str, Any]:
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False}
    return {"n_epochs": 1, "random_state": 0, "pl_trainer_kwargs": quiet}


def _rnn(kind: str, **changes: Any) -> nn.Module:
    from darts.models import RNNModel

    settings = _settings() | {"input_chunk_length": 12, "training_length": 16, "hidden_dim": 6}
    return _inside(RNNModel(model=kind, **settings, **changes))


def _rnn_likelihood() -> nn.Module:
    from darts.utils.likelihood_models.torch import GaussianLikelihood

    return _rnn("GRU", likelihood=GaussianLikelihood())


def _block(kind: str, horizon: int) -> nn.Module:
    from darts.models import BlockRNNModel

    settings = _settings() | {"input_chunk_length": 12, "output_chunk_length": horizon}
    return _inside(BlockRNNModel(model=kind, hidden_dim=6, **settings))


def _tcn() -> nn.Module:
    from darts.models import TCNModel

    settings = _settings() | {"input_chunk_length": 12, "output_chunk_length": 3}
    return _inside(TCNModel(kernel_size=3, num_filters=2, **settings))


def _past(batch: int, time: int) -> tuple[Any, ...]:
    from darts.utils.data.torch_datasets.utils import PLModuleInput

    return (PLModuleInput(past_target=torch.randn(batch, time, 1)),)


CASES = (
    Case("RNNModel, LSTM", lambda: _rnn("LSTM"), _past, serves="last"),
    Case("RNNModel, GRU, two layers", lambda: _rnn("GRU", n_rnn_layers=2), _past, serves="last"),
    Case("RNNModel, likelihood", _rnn_likelihood, _past, serves="last"),
    Case("BlockRNNModel, one step ahead", lambda: _block("LSTM", 1), _past, serves="last"),
    Case("BlockRNNModel, three ahead", lambda: _block("GRU", 3), _past, serves="whole", least=3),
    Case("TCNModel", _tcn, _past, serves="whole"),
)
