"""Frame files whose states are called as people's are, and every other end has their shape too."""

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import helper

from carousel.models.row import Array
from tests.export.imported.foreign.graphs import onnx_graph

# What an old value and its new one are called beside each other.
NAMES = (
    ("recurrent", "next_recurrent"),
    ("initial_h", "Y_h"),
    ("h_enc_in", "h_enc_out"),
    ("hxs", "hxs_out"),
    ("rnn_hxs", "rnn_hxs_out"),
    ("memory", "memory_out"),
    ("mem", "mem_out"),
    ("state_in_0", "state_out_0"),
    ("past", "present"),
    ("past_key", "present_key"),
    ("cache", "new_cache"),
    ("context", "new_context"),
)
TWO_NAMES = (
    (("initial_h", "initial_c"), ("Y_h", "Y_c")),
    (("h_enc_in", "c_enc_in"), ("h_enc_out", "c_enc_out")),
    (("h_enc_in", "h_dec_in"), ("h_enc_out", "h_dec_out")),
    (("state_in_0", "state_in_1"), ("state_out_0", "state_out_1")),
    (("recurrent_0", "recurrent_1"), ("next_recurrent_0", "next_recurrent_1")),
    (("past_h", "past_c"), ("present_h", "present_c")),
)


def weights(**shapes: tuple[int, ...]) -> dict[str, Array]:
    """Weights of these shapes, the same at every call."""
    rng = np.random.default_rng(3)
    return {
        name: (0.4 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def one_state(old: str, new: str, answer: str = "y", sent: str = "x") -> bytes:
    """A frame and a state of one size; the answer comes first and has that size as well."""
    return onnx_graph(
        [
            helper.make_node("MatMul", [sent, "wx"], ["from_x"]),
            helper.make_node("MatMul", [old, "wh"], ["from_h"]),
            helper.make_node("Add", ["from_x", "from_h"], ["sum"]),
            helper.make_node("Tanh", ["sum"], [new]),
            helper.make_node("MatMul", [new, "wy"], [answer]),
        ],
        {sent: ["N", 6], old: ["N", 6]},
        {answer: ["N", 6], new: ["N", 6]},
        weights(wx=(6, 6), wh=(6, 6), wy=(6, 6)),
    )


def two_states(old: Sequence[str], new: Sequence[str]) -> bytes:
    """Two states of one size, the second fed by the first; their new values come out swapped."""
    return onnx_graph(
        [
            helper.make_node("MatMul", ["x", "wx"], ["from_x"]),
            helper.make_node("MatMul", [old[0], "wh"], ["from_h"]),
            helper.make_node("Add", ["from_x", "from_h"], ["sum"]),
            helper.make_node("Tanh", ["sum"], [new[0]]),
            helper.make_node("MatMul", [old[1], "wc"], ["from_c"]),
            helper.make_node("Sub", ["from_c", new[0]], ["difference"]),
            helper.make_node("Tanh", ["difference"], [new[1]]),
            helper.make_node("MatMul", [new[1], "wy"], ["y"]),
        ],
        {"x": ["N", 6], old[0]: ["N", 6], old[1]: ["N", 6]},
        {"y": ["N", 6], new[1]: ["N", 6], new[0]: ["N", 6]},
        weights(wx=(6, 6), wh=(6, 6), wc=(6, 6), wy=(6, 6)),
    )


def unrelated(old: str, new: str) -> bytes:
    """What is called the new value of a state has nothing to do with it, nor has any answer."""
    return onnx_graph(
        [
            helper.make_node("MatMul", ["x", "wx"], ["y"]),
            helper.make_node("Tanh", ["x"], [new]),
            helper.make_node("Mul", [old, "zero"], ["nothing"]),
            helper.make_node("Add", ["y", "nothing"], ["z"]),
        ],
        {"x": ["N", 6], old: ["N", 6]},
        {"z": ["N", 6], new: ["N", 6]},
        {**weights(wx=(6, 6)), "zero": np.array(0, np.float32)},
    )


def cell_of_states(states: Mapping[str, str]) -> bytes:
    """An LSTM or GRU cell over one frame that gives its new states and nothing else."""
    kind, gates = ("LSTM", 4) if len(states) == 2 else ("GRU", 3)
    axes = ["axes0"]
    new = list(states.values())
    return onnx_graph(
        [
            helper.make_node("Unsqueeze", ["x", *axes], ["x1"]),
            *(helper.make_node("Unsqueeze", [old, *axes], [f"{old}1"]) for old in states),
            helper.make_node(
                kind,
                ["x1", "w", "r", "", "", *(f"{old}1" for old in states)],
                ["", *(f"{each}1" for each in new)],
                hidden_size=5,
            ),
            *(helper.make_node("Squeeze", [f"{each}1", *axes], [each]) for each in new),
        ],
        {"x": ["N", 3], **{old: ["N", 5] for old in states}},
        {each: ["N", 5] for each in new},
        weights(w=(1, 5 * gates, 3), r=(1, 5 * gates, 5)) | {"axes0": np.array([0], np.int64)},
    )
