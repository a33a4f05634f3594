"""Frame files of several states of one shape, whatever they are called, and a decoder's step."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.export.imported.foreign.graphs import onnx_graph
from tests.export.imported.foreign.pairs import weights


def cells(states: Mapping[str, str], *, sent: str = "x", order: Sequence[str] = ()) -> bytes:
    """x (B, 4) and states (B, 4), each moved by those before it; `order` is that of the new values
    in the file, whose answer y comes first and has three numbers.
    """
    nodes, moved = [], sent
    for old, new in states.items():
        nodes += [
            helper.make_node("MatMul", [old, "w"], [f"{old} turned"]),
            helper.make_node("Add", [moved, f"{old} turned"], [f"{old} sum"]),
            helper.make_node("Tanh", [f"{old} sum"], [new]),
        ]
        moved = new
    nodes.append(helper.make_node("MatMul", [moved, "wy"], ["y"]))
    row: list[int | str] = ["N", 4]
    return onnx_graph(
        nodes,
        dict.fromkeys([sent, *states], row),
        {"y": ["N", 3], **dict.fromkeys(order or list(states.values()), row)},
        weights(w=(4, 4), wy=(4, 3)),
    )


def decoder() -> bytes:
    """One step x (B, 4) with a state h, over what an encoder gave, memory (B, S, 4)."""
    return onnx_graph(
        [
            helper.make_node("Unsqueeze", ["h", "last"], ["h1"]),
            helper.make_node("MatMul", ["memory", "h1"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["part"], axis=1),
            helper.make_node("Mul", ["memory", "part"], ["parts"]),
            helper.make_node("ReduceSum", ["parts", "steps"], ["heard"], keepdims=0),
            helper.make_node("Add", ["x", "heard"], ["both"]),
            helper.make_node("MatMul", ["h", "w"], ["kept"]),
            helper.make_node("Add", ["both", "kept"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["h_out"]),
            helper.make_node("MatMul", ["h_out", "wy"], ["y"]),
        ],
        {"x": ["N", 4], "memory": ["N", "S", 4], "h": ["N", 4]},
        {"y": ["N", 3], "h_out": ["N", 4]},
        {**weights(w=(4, 4), wy=(4, 3)), "last": np.array([2]), "steps": np.array([1])},
    )


def fours(*, state: bool) -> bytes:
    """x (B, T, 4) four steps at a time, with a state h (B, 16) or none: other lengths fail."""
    added = [
        helper.make_node("Unsqueeze", ["h", "one"], ["h1"]),
        helper.make_node("Add", ["fours", "h1"], ["y"]),
        helper.make_node("ReduceMean", ["y"], ["h_out"], axes=[1], keepdims=0),
    ]
    row: list[int | str] = ["N", 16]
    plain = [helper.make_node("Tanh", ["fours"], ["y"])]
    reshaped = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Shape", ["x"], ["steps"], start=1, end=2),
        helper.make_node("Div", ["steps", "four"], ["quarters"]),
        helper.make_node("Concat", ["rows", "quarters", "all"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["x", "sizes"], ["fours"]),
    ]
    return onnx_graph(
        [*reshaped, *(added if state else plain)],
        {"x": ["N", "T", 4], **dict.fromkeys(["h"] * state, row)},
        {"y": ["N", "Q", 16], **dict.fromkeys(["h_out"] * state, row)},
        {"four": np.array([4]), "all": np.array([16])} | ({"one": np.array([1])} if state else {}),
    )


def mean() -> bytes:
    """The mean of whole numbers x (B, 4), whose sum and count are kept: none may be counted."""
    row: list[int | str] = ["N", 4]
    given, found = ("x", "total", "count"), ("y", "total_out", "count_out")
    return onnx_graph(
        [
            helper.make_node("Add", ["total", "x"], ["total_out"]),
            helper.make_node("Div", ["total_out", "count"], ["y"]),
            helper.make_node("Add", ["count", "one"], ["count_out"]),
        ],
        dict.fromkeys(given, row),
        dict.fromkeys(found, row),
        {"one": np.array([1], np.int32)},
        dict.fromkeys((*given, *found), "int32"),
    )


def beside_a_version(*, rate: bool = False) -> bytes:
    """A cell whose version comes first and never varies; `rate`: times a number sent instead."""
    data = cells({"h": "hn"})
    model = onnx.load_model_from_string(data)
    graph = model.graph
    if rate:
        graph.input.append(helper.make_tensor_value_info("sr", onnx.TensorProto.INT64, []))
        graph.node[-1].output[0] = "plain"
        graph.node.append(helper.make_node("Cast", ["sr"], ["scale"], to=onnx.TensorProto.FLOAT))
        graph.node.append(helper.make_node("Mul", ["plain", "scale"], ["y"]))
        return bytes(model.SerializeToString())
    graph.initializer.append(numpy_helper.from_array(np.array([3], np.float32), "three"))
    graph.node.append(helper.make_node("Identity", ["three"], ["version"]))
    told = helper.make_tensor_value_info("version", onnx.TensorProto.FLOAT, [1])
    outputs = [told, *graph.output]
    del graph.output[:]
    graph.output.extend(outputs)
    return bytes(model.SerializeToString())
