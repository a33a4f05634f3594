"""The LSTM of most tutorials, trained to forecast yearly sunspot numbers (models/zoo/sunspots.py).

It looks at its last time step only and throws its hidden state away.
"""

import copy
from typing import Any

import torch
from torch import nn

from carousel.models.zoo.reference import Reference, Report, seeded
from carousel.models.zoo.sunspots import LAGS, TEST, TRAIN, VALIDATION, evaluate, windows

_SEED = 1997
_EPOCHS = 200


class SimpleLSTM(nn.Module):
    """Two layers of LSTM and a linear head on the last time step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(LAGS, 20, 2, batch_first=True)
        self.linear = nn.Linear(20, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, F) gives one number a row: (B, 1, 1)."""
        out, _ = self.lstm(x)  # (B, T, H)
        forecast: torch.Tensor = self.linear(out[:, -1])  # (B, 1)
        return forecast.view(-1, 1, 1)


def _build(report: Report) -> nn.Module:
    with seeded(_SEED), torch.enable_grad():
        module = SimpleLSTM()
        module.load_state_dict(_fit(module, report))
    module.zero_grad()
    return module.eval()


def _fit(module: SimpleLSTM, report: Report) -> dict[str, Any]:
    """Fit to TRAIN; the weights returned are those of the epoch that did best on VALIDATION."""
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    train = windows(TRAIN)
    best, weights = float("inf"), module.state_dict()
    for epoch in range(1, _EPOCHS + 1):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module(train.inputs), train.targets)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        optimizer.step()
        error = evaluate(module, VALIDATION).model_rmse
        if error < best:
            best, weights = error, copy.deepcopy(module.state_dict())
        if epoch % 20 == 0:
            report(f"epoch {epoch} of {_EPOCHS}: validation error {error:.1f}, best {best:.1f}")
    return weights


def _example() -> tuple[torch.Tensor, ...]:
    return (windows(TEST).inputs[-5:],)  # (5, 15, 10)


SIMPLE_LSTM = Reference(
    "simple-lstm",
    "LSTM with a linear head on the last step: forecasts yearly sunspot numbers",
    _build,
    _example,
)
