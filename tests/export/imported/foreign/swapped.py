"""Files whose names tell pairs that do not hold: each new value is called as the other state is."""

from onnx import TensorProto, ValueInfoProto, helper

from tests.export.imported.foreign.graphs import onnx_graph
from tests.export.imported.foreign.pairs import weights

TRUTH = {"state_a": "state_b_out", "state_b": "state_a_out"}


def layer(time: int | str = "T") -> bytes:
    """An LSTM of ONNX over x (T, B, 4), with the states of its own."""
    node = helper.make_node(
        "LSTM",
        ["x", "w", "r", "", "", "state_a", "state_b"],
        ["y4", "state_b_out", "state_a_out"],
        hidden_size=5,
    )
    row: list[int | str] = [1, "N", 5]
    return onnx_graph(
        [node],
        {"x": [time, "N", 4], **dict.fromkeys(TRUTH, row)},
        {"y4": [time, 1, "N", 5], **dict.fromkeys(TRUTH.values(), row)},
        weights(w=(1, 20, 4), r=(1, 20, 5)),
    )


def _row(name: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4])


def scan(*, backwards: bool = False) -> bytes:
    """Two sums that forget, the second of the first, in a loop over x (T, B, 4) that no operator
    has; `backwards` from the last step to the first.
    """
    body = helper.make_graph(
        [
            helper.make_node("Add", ["first", "now"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["new_first"]),
            helper.make_node("Sub", ["second", "new_first"], ["rest"]),
            helper.make_node("Sin", ["rest"], ["new_second"]),
            helper.make_node("Neg", ["new_second"], ["answer"]),
        ],
        "body",
        [_row(name) for name in ("first", "second", "now")],
        [_row(name) for name in ("new_first", "new_second", "answer")],
    )
    node = helper.make_node(
        "Scan",
        ["state_a", "state_b", "x"],
        ["state_b_out", "state_a_out", "y"],
        num_scan_inputs=1,
        body=body,
        scan_input_directions=[int(backwards)],
        scan_output_directions=[int(backwards)],
    )
    return onnx_graph(
        [node],
        {"x": ["T", "N", 4], "state_a": ["N", 4], "state_b": ["N", 4]},
        {"y": ["T", "N", 4], "state_a_out": ["N", 4], "state_b_out": ["N", 4]},
    )
