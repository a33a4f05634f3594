"""The bare layers and the attention block against their formulas, written out in NumPy."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from carousel.models.zoo.catalog import REFERENCES

Array = npt.NDArray[np.float64]


def _numpy(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().double().numpy()
    return array


def test_rnn_is_the_written_out_formula() -> None:
    """rnn-1027-256 computes H_t = tanh(X_t W_xh + H_{t-1} W_hh + b), from a state of zeros."""
    reference = REFERENCES["rnn-1027-256"]
    module = reference.build(lambda line: None)
    assert isinstance(module, nn.RNN)
    (x,) = reference.example()  # (T, B, F)
    p = {name: _numpy(tensor) for name, tensor in module.state_dict().items()}
    w_xh, w_hh = p["weight_ih_l0"].T, p["weight_hh_l0"].T  # (F, H), (H, H)
    b = p["bias_ih_l0"] + p["bias_hh_l0"]  # (H,)

    h = np.zeros((2, 256))  # (B, H)
    steps = []
    for x_t in _numpy(x):  # (B, F)
        h = np.tanh(x_t @ w_xh + h @ w_hh + b)  # (B, H)
        steps.append(h)

    output, state = module(x, None)  # (T, B, H), (L, B, H)
    np.testing.assert_allclose(_numpy(output), np.stack(steps), atol=1e-5)
    np.testing.assert_allclose(_numpy(state), h[np.newaxis], atol=1e-5)


def test_attention_is_the_written_out_formula() -> None:
    """attention weighs V with softmax([Q0; K0] W + b) and mixes the result with Q0."""
    reference = REFERENCES["attention"]
    module = reference.build(lambda line: None)
    q, k, v = (_numpy(tensor) for tensor in reference.example())
    p = {name: _numpy(tensor) for name, tensor in module.state_dict().items()}

    scores = np.concatenate((q[0], k[0]), 1) @ p["score.weight"].T + p["score.bias"]  # (1, 32)
    weights = np.exp(scores) / np.exp(scores).sum()  # (1, 32)
    applied = weights @ v[0]  # (1, 64)
    output = np.concatenate((q[0], applied), 1) @ p["mix.weight"].T + p["mix.bias"]  # (1, 64)

    actual_output, actual_weights = module(*reference.example())
    np.testing.assert_allclose(_numpy(actual_weights), weights, atol=1e-6)
    np.testing.assert_allclose(_numpy(actual_output), output[np.newaxis], atol=1e-5)


def test_attention_names_its_tensors() -> None:
    """attention says the sizes of Q, K and V, and the names of its two outputs."""
    reference = REFERENCES["attention"]
    assert reference.axes == {"Q": (1, 1, 32), "K": (1, 1, 32), "V": (1, 32, 64)}
    assert reference.output_names == ("output", "weights")


def test_projected_lstm_has_states_of_two_sizes() -> None:
    """lstm-proj is a projected LSTM: its h is smaller than its c."""
    module = REFERENCES["lstm-proj"].build(lambda line: None)
    assert isinstance(module, nn.LSTM)
    assert (module.hidden_size, module.proj_size, module.num_layers) == (20, 8, 2)
