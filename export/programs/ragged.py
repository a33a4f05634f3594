"""Batches of mixed lengths in an ONNX program: `lengths` wired in, last valid outputs held.

ONNX's recurrent nodes take `sequence_lens`: beyond a row's end they leave its state alone and
write zeros. A head that reads the last step of a padded row would read those, so `hold` repeats
each row's last valid output over its padding.
"""

import onnx
from onnx import TensorProto, helper

from carousel.export.programs.graph import Nodes

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
    for index, node in enumerate(list(graph.node)):
        place = _output_place(node, lengths)
        nodes.append(node)
        if place is not None and not _feeds_only_recurrent(graph, node.output[place]):
            nodes += _held(graph, node, place, f"hold_{index}", lengths)
    del graph.node[:]
    graph.node.extend(nodes)


def _output_place(node: onnx.NodeProto, lengths: str) -> int | None:
    """Where a recurrent node that follows `lengths` has its output; None for any other node."""
    if node.op_type == "Scan":  # a projected layer, the only loop that an export writes
        return 2
    follows = node.op_type in RECURRENT and len(node.input) > _SEQUENCE_LENS
    return 0 if follows and node.input[_SEQUENCE_LENS] == lengths and node.output[0] else None


def _held(
    graph: onnx.GraphProto, node: onnx.NodeProto, place: int, prefix: str, lengths: str
) -> list[onnx.NodeProto]:
    """Nodes that gather step min(t, length - 1) of each row; the node's own output is renamed."""
    add = Nodes(graph, prefix)
    output, raw = node.output[place], add.name("raw")
    node.output[place] = raw
    if node.op_type == "Scan":
        add.op("GatherND", raw, _last_valid(add, raw, lengths), output=output)  # (T, B, P)
    else:
        rows = add.op("Transpose", raw, perm=[0, 2, 1, 3])  # (T, B, D, H)
        kept = add.op("GatherND", rows, _last_valid(add, rows, lengths))
        add.op("Transpose", kept, perm=[0, 2, 1, 3], output=output)
    return add.nodes


def _last_valid(add: Nodes, rows: str, lengths: str) -> str:
    """The indices (T, B, 2) of step min(t, length - 1) and of the row itself."""
    zero, one = add.constant("zero", 0), add.constant("one", 1)
    inner, last = add.constant("inner", [1]), add.constant("last", [-1])
    shape = add.op("Shape", rows)
    clock = add.op("Range", zero, add.op("Gather", shape, zero, axis=0), one)  # (T,)
    row = add.op("Range", zero, add.op("Gather", shape, one, axis=0), one)  # (B,)
    end = add.op("Sub", add.op("Cast", lengths, to=TensorProto.INT64), one)  # (B,)
    step = add.op("Min", add.op("Unsqueeze", clock, inner), end)  # (T, B)
    wide = add.op("Expand", row, add.op("Shape", step))  # (T, B)
    pair = (add.op("Unsqueeze", each, last) for each in (step, wide))  # (T, B, 1)
    return add.op("Concat", *pair, axis=-1)


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
