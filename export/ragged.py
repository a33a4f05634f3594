"""Batches of mixed lengths in an ONNX program: `lengths` wired in, last valid outputs held.

ONNX's recurrent nodes take `sequence_lens`: beyond a row's end they leave its state alone and
write zeros. A head that reads the last step of a padded row would read those, so `hold` repeats
each row's last valid output over its padding.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.row import Array

RECURRENT = ("LSTM", "GRU", "RNN")
_SEQUENCE_LENS = 4  # the place of sequence_lens among a recurrent node's inputs
_LAYOUT_ONLY = ("Squeeze", "Transpose", "Reshape", "Identity", "Concat")


def add_lengths(model: onnx.ModelProto, name: str) -> None:
    """A further int32 input `name` (B,), connected to every recurrent node without lengths."""
    value = helper.make_tensor_value_info(name, TensorProto.INT32, ["batch"])
    model.graph.input.append(value)
    for node in model.graph.node:
        if node.op_type in RECURRENT:
            node.input.extend([""] * (_SEQUENCE_LENS + 1 - len(node.input)))
            if not node.input[_SEQUENCE_LENS]:
                node.input[_SEQUENCE_LENS] = name


def hold(model: onnx.ModelProto, lengths: str) -> None:
    """Repeat the last valid output of every recurrent stack over its padding."""
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    held = 0
    for node in list(graph.node):
        nodes.append(node)
        own = node.op_type in RECURRENT and len(node.input) > _SEQUENCE_LENS
        if own and node.input[_SEQUENCE_LENS] == lengths and node.output[0]:
            if not _feeds_only_recurrent(graph, node.output[0]):
                nodes += _held(graph, node, f"hold_{held}", lengths)
                held += 1
        elif node.op_type == "Scan" and not _feeds_only_recurrent(graph, node.output[2]):
            nodes += _held(graph, node, f"hold_{held}", lengths)
            held += 1
    del graph.node[:]
    graph.node.extend(nodes)


def _held(
    graph: onnx.GraphProto, node: onnx.NodeProto, prefix: str, lengths: str
) -> Iterator[onnx.NodeProto]:
    """Nodes that gather step min(t, length - 1) of each row; the node's output is renamed."""
    scan = node.op_type == "Scan"
    place = 2 if scan else 0
    output, raw = node.output[place], f"{prefix}_raw"
    node.output[place] = raw
    one = _constant(graph, f"{prefix}_one", np.array(1, dtype=np.int64))
    zero = _constant(graph, f"{prefix}_zero", np.array(0, dtype=np.int64))
    last = _constant(graph, f"{prefix}_last", np.array([-1], dtype=np.int64))
    first = _constant(graph, f"{prefix}_first", np.array([1], dtype=np.int64))

    def op(kind: str, inputs: list[str], name: str, **flags: Any) -> onnx.NodeProto:
        return helper.make_node(
            kind, inputs, [f"{prefix}_{name}"], name=f"{prefix}_{name}", **flags
        )

    rows = f"{prefix}_rows"  # (T, B, D, H), or (T, B, H) of a Scan
    if scan:
        yield helper.make_node("Identity", [raw], [rows])
    else:
        yield helper.make_node("Transpose", [raw], [rows], perm=[0, 2, 1, 3])
    yield op("Shape", [rows], "shape")
    yield op("Gather", [f"{prefix}_shape", zero], "time", axis=0)
    yield op("Gather", [f"{prefix}_shape", one], "batch", axis=0)
    yield op("Range", [zero, f"{prefix}_time", one], "clock")
    yield op("Range", [zero, f"{prefix}_batch", one], "row")
    yield op("Unsqueeze", [f"{prefix}_clock", first], "steps")  # (T, 1)
    yield op("Cast", [lengths], "long", to=TensorProto.INT64)
    yield op("Sub", [f"{prefix}_long", one], "end")  # (B,)
    yield op("Min", [f"{prefix}_steps", f"{prefix}_end"], "step")  # (T, B)
    yield op("Unsqueeze", [f"{prefix}_step", last], "step_index")  # (T, B, 1)
    yield op("Shape", [f"{prefix}_step"], "step_shape")
    yield op("Expand", [f"{prefix}_row", f"{prefix}_step_shape"], "rows_wide")  # (T, B)
    yield op("Unsqueeze", [f"{prefix}_rows_wide", last], "row_index")  # (T, B, 1)
    yield op("Concat", [f"{prefix}_step_index", f"{prefix}_row_index"], "index", axis=-1)
    if scan:
        yield helper.make_node("GatherND", [rows, f"{prefix}_index"], [output])
    else:
        yield op("GatherND", [rows, f"{prefix}_index"], "kept")  # (T, B, D, H)
        yield helper.make_node("Transpose", [f"{prefix}_kept"], [output], perm=[0, 2, 1, 3])


def _constant(graph: onnx.GraphProto, name: str, value: Array) -> str:
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _feeds_only_recurrent(graph: onnx.GraphProto, value: str) -> bool:
    """Whether `value` reaches nothing but the inputs of further recurrent layers."""
    if any(output.name == value for output in graph.output):
        return False
    readers = [node for node in graph.node if value in node.input]
    for node in readers:
        if node.op_type in RECURRENT and node.input[0] == value:
            continue
        layout_only = node.op_type in _LAYOUT_ONLY and node.input[0] == value
        if not (layout_only and _feeds_only_recurrent(graph, node.output[0])):
            return False
    return bool(readers)
