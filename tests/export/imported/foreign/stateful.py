"""ONNX graphs whose operators carry the state themselves, with what they compute by NumPy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats = npt.NDArray[np.float32]
Sizes = Sequence[int | str]

HIDDEN = 6


def _drawn(seed: int, *sizes: int) -> Floats:
    return (0.4 * np.random.default_rng(seed).standard_normal(sizes)).astype(np.float32)


KERNEL, BIAS = _drawn(1, 4, 1, 3), _drawn(2, 4)
INPUT, RECURRENT = _drawn(3, 1, 4 * HIDDEN, 3), _drawn(4, 1, 4 * HIDDEN, HIDDEN)
PEEPHOLES = _drawn(5, 1, 3 * HIDDEN)


def _bytes(
    node: onnx.NodeProto,
    inputs: dict[str, Sizes],
    outputs: dict[str, Sizes],
    weights: dict[str, Floats],
    opset: int,
) -> bytes:
    graph = helper.make_graph(
        [node],
        "foreign",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(each, name) for name, each in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def convolution() -> bytes:
    """A causal depthwise convolution that is handed its last two samples (opset 27)."""
    node = helper.make_node(
        "CausalConvWithState", ["x", "w", "b", "past_conv"], ["y", "present_conv"]
    )
    return _bytes(
        node,
        {"x": ("batch", 4, "time"), "past_conv": ("batch", 4, 2)},
        {"y": ("batch", 4, "time"), "present_conv": ("batch", 4, 2)},
        {"w": KERNEL, "b": BIAS},
        27,
    )


def convolved(x: Floats) -> Floats:
    """x (B, 4, T), from zeros."""
    seen = np.concatenate([np.zeros((len(x), 4, 2), np.float32), x], 2)
    parts = [seen[:, :, k : k + x.shape[2]] * KERNEL[:, 0, k][None, :, None] for k in range(3)]
    found: Floats = sum(parts) + BIAS[None, :, None]
    return found


def attention() -> bytes:
    """Linear attention of two heads of four (opset 27)."""
    node = helper.make_node(
        "LinearAttention",
        ["q", "k", "v", "past_state"],
        ["y", "present_state"],
        q_num_heads=2,
        kv_num_heads=2,
        update_rule="linear",
        scale=0.5,
    )
    packed, state = ("batch", "time", 8), ("batch", 2, 4, 4)
    return _bytes(
        node,
        {"q": packed, "k": packed, "v": packed, "past_state": state},
        {"y": packed, "present_state": state},
        {},
        27,
    )


def attended(q: Floats, k: Floats, v: Floats) -> Floats:
    """Each (B, T, 8), from zeros: the sum of k v^T so far, read by q."""
    heads = [each.reshape(*each.shape[:2], 2, 4) for each in (q, k, v)]
    memory = np.cumsum(heads[1][..., :, None] * heads[2][..., None, :], 1)  # (B, T, 2, 4, 4)
    found: Floats = 0.5 * np.einsum("bthd,bthde->bthe", heads[0], memory)
    return found.reshape(q.shape)


def peepholes() -> bytes:
    """An LSTM whose gates look at the cell state."""
    node = helper.make_node(
        "LSTM",
        ["x", "W", "R", "", "", "h_in", "c_in", "P"],
        ["y", "h_out", "c_out"],
        hidden_size=HIDDEN,
    )
    state = (1, "batch", HIDDEN)
    return _bytes(
        node,
        {"x": ("time", "batch", 3), "h_in": state, "c_in": state},
        {"y": ("time", 1, "batch", HIDDEN), "h_out": state, "c_out": state},
        {"W": INPUT, "R": RECURRENT, "P": PEEPHOLES},
        17,
    )


def peeped(x: Floats) -> Floats:
    """x (T, B, 3), from zeros; gates in ONNX's order: input, output, forget, cell."""
    h = c = np.zeros((x.shape[1], HIDDEN), np.float32)
    for_input, for_output, for_forget = np.split(PEEPHOLES[0], 3)
    found: list[Floats] = []
    for step in x:
        i, o, f, g = np.split(step @ INPUT[0].T + h @ RECURRENT[0].T, 4, axis=1)
        i, f = _sigmoid(i + for_input * c), _sigmoid(f + for_forget * c)
        c = f * c + i * np.tanh(g)
        h = _sigmoid(o + for_output * c) * np.tanh(c)
        found.append(h.astype(np.float32))
    return np.stack(found)[:, None]


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


def batch_in_front() -> bytes:
    """A GRU with layout=1."""
    node = helper.make_node(
        "GRU", ["x", "W", "R", "", "", "h_in"], ["y", "h_out"], hidden_size=HIDDEN, layout=1
    )
    state = ("batch", 1, HIDDEN)
    return _bytes(
        node,
        {"x": ("batch", "time", 3), "h_in": state},
        {"y": ("batch", "time", 1, HIDDEN), "h_out": state},
        {"W": INPUT[:, : 3 * HIDDEN], "R": RECURRENT[:, : 3 * HIDDEN]},
        17,
    )
