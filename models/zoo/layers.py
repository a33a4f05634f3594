"""torch's recurrent layers as they are: untrained, with the weights that a fixed seed gives."""

from collections.abc import Callable

import torch
from torch import nn

from carousel.models.zoo.reference import Reference, Report, normal, seeded

_SEED = 1997


def _layer(
    name: str, summary: str, make: Callable[[], nn.RNNBase], sizes: tuple[int, int, int]
) -> Reference:
    """The layer that `make` makes; `sizes` is its example input, time-major: (T, B, F)."""

    def build(report: Report) -> nn.Module:
        with seeded(_SEED):
            layer = make()
        report(f"{layer}: weights from seed {_SEED}")
        return layer.eval()

    def example() -> tuple[torch.Tensor, ...]:
        return (normal(*sizes),)  # (T, B, F)

    return Reference(name, summary, build, example)


LAYERS = (
    _layer("lstm-10-20-2", "LSTM of two layers", lambda: nn.LSTM(10, 20, 2), (5, 3, 10)),
    _layer(
        "bilstm-10-20-2",
        "bidirectional LSTM of two layers: whole sequences only",
        lambda: nn.LSTM(10, 20, 2, bidirectional=True),
        (5, 3, 10),
    ),
    _layer(
        "rnn-1027-256",
        "tanh RNN of one layer on wide (one-hot) inputs",
        lambda: nn.RNN(1027, 256),
        (35, 2, 1027),
    ),
    _layer("rnn-5-6-2", "tanh RNN of two layers", lambda: nn.RNN(5, 6, 2), (1, 3, 5)),
    _layer("lstm-5-6-2", "small LSTM of two layers", lambda: nn.LSTM(5, 6, 2), (1, 3, 5)),
    _layer("gru-10-20-2", "GRU of two layers", lambda: nn.GRU(10, 20, 2), (5, 3, 10)),
    _layer(
        "lstm-proj",
        "LSTM of two layers with projection: h of 8, c of 20",
        lambda: nn.LSTM(10, 20, 2, proj_size=8),
        (5, 3, 10),
    ),
)
