"""gluonts: the torch networks of its probabilistic forecasters."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case

_CONTEXT, _HORIZON, _LAGS = 10, 3, [1, 2, 3]


def _network(**changes: Any) -> Any:
    from gluonts.torch.model.deepar.module import DeepARModel

    return DeepARModel(
        freq="h",
        context_length=_CONTEXT,
        prediction_length=_HORIZON,
        lags_seq=_LAGS,
        hidden_size=6,
        num_parallel_samples=2,
        **changes,
    )


def _deepar() -> nn.Module:
    network: nn.Module = _network()
    return network


def _parameters() -> nn.Module:
    class Parameters(nn.Module):
        """The parameters of the distribution at every step, which the loss is made from."""

        def __init__(self) -> None:
            super().__init__()
            self.network = _network()

        def forward(
            self,
            feat_static_cat: torch.Tensor,
            feat_static_real: torch.Tensor,
            past_time_feat: torch.Tensor,
            past_target: torch.Tensor,
            past_observed_values: torch.Tensor,
            future_time_feat: torch.Tensor,
        ) -> Any:
            unrolled = self.network.unroll_lagged_rnn(
                feat_static_cat,
                feat_static_real,
                past_time_feat,
                past_target,
                past_observed_values,
                future_time_feat,
            )
            return unrolled[0]

    return Parameters()


def _fusion() -> nn.Module:
    from gluonts.torch.model.tft.module import TemporalFusionTransformerModel

    module: nn.Module = TemporalFusionTransformerModel(
        context_length=_CONTEXT, prediction_length=_HORIZON, num_heads=2, d_hidden=4, d_var=4
    )
    return module


def _past(ahead: int) -> Any:
    def inputs(batch: int, time: int) -> tuple[Any, ...]:
        past = _CONTEXT + max(_LAGS)
        return (
            torch.zeros(batch, 1, dtype=torch.long),
            torch.randn(batch, 1),
            torch.randn(batch, past, 1),
            torch.randn(batch, past),
            torch.ones(batch, past),
            torch.randn(batch, ahead, 1),
        )

    return inputs


def _fused(batch: int, time: int) -> tuple[Any, ...]:
    return (
        torch.randn(batch, _CONTEXT),
        torch.ones(batch, _CONTEXT),
        torch.randn(batch, 1),
        torch.zeros(batch, 1, dtype=torch.long),
        torch.randn(batch, _CONTEXT + _HORIZON, 1),
    )


CASES = (
    Case("DeepAR", _deepar, _past(_HORIZON), serves="nothing", why="its forecasts are drawn"),
    Case("DeepAR, parameters", _parameters, _past(1), serves="whole"),
    Case("TemporalFusionTransformer", _fusion, _fused, serves="whole"),
)
