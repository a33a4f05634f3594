"""speechbrain: recurrent layers written by hand, and the model of its recipes."""

import torch
from torch import nn

from benchmarks.field.case import Case, batch_first

_SHAPE = (3, 12, 6)


def _ligru() -> nn.Module:
    from speechbrain.nnet.RNN import LiGRU

    return LiGRU(hidden_size=5, input_shape=_SHAPE)


def _ligru_stack() -> nn.Module:
    from speechbrain.nnet.RNN import LiGRU

    return LiGRU(hidden_size=5, input_shape=_SHAPE, num_layers=2)


def _sligru() -> nn.Module:
    from speechbrain.nnet.RNN import SLiGRU

    return SLiGRU(hidden_size=5, input_shape=_SHAPE)


def _quasi() -> nn.Module:
    from speechbrain.nnet.RNN import QuasiRNN

    return QuasiRNN(hidden_size=5, input_shape=_SHAPE, num_layers=1)


def _gru() -> nn.Module:
    from speechbrain.nnet.RNN import GRU

    return GRU(hidden_size=5, input_shape=_SHAPE, num_layers=2)


def _lstm_cell() -> nn.Module:
    from speechbrain.nnet.RNN import LSTMCell

    return LSTMCell(hidden_size=5, input_size=6, num_layers=2)


def _crdnn() -> nn.Module:
    from speechbrain.lobes.models.CRDNN import CRDNN

    return CRDNN(
        input_shape=_SHAPE,
        cnn_blocks=1,
        cnn_channels=[4],
        rnn_layers=1,
        rnn_neurons=5,
        dnn_blocks=1,
        dnn_neurons=7,
    )


def _cell_inputs(batch: int, time: int) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    return torch.randn(batch, 6), (torch.zeros(2, batch, 5), torch.zeros(2, batch, 5))


CASES = (
    Case("LiGRU", _ligru, batch_first(6)),
    Case("LiGRU, two layers", _ligru_stack, batch_first(6)),
    Case("SLiGRU", _sligru, batch_first(6)),
    # Its second result is of the last rows alone, so that only one row a run can be served.
    Case("QuasiRNN", _quasi, batch_first(6)),
    Case("GRU", _gru, batch_first(6)),
    Case("LSTMCell", _lstm_cell, _cell_inputs, carry=lambda args, out: (args[0], out[1])),
    Case("CRDNN, both directions", _crdnn, batch_first(6), serves="whole"),
)
