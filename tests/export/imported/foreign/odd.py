"""ONNX files as odd as the format allows."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.export.imported.foreign.graphs import cell, onnx_graph

_FLOAT = TensorProto.FLOAT
node = helper.make_node
info = helper.make_tensor_value_info


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> bytes:
    """A file whose ends are more than plain tensors."""
    made = helper.make_graph(list(nodes), "g", list(inputs), list(outputs))
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString())


def _typed(name: str, kind: onnx.TypeProto) -> onnx.ValueInfoProto:
    found = onnx.ValueInfoProto(name=name)
    found.type.CopyFrom(kind)
    return found


def _tensor() -> onnx.TypeProto:
    return helper.make_tensor_type_proto(_FLOAT, ["N", 3])


def _doubled(kind: str) -> bytes:
    """The cell with its first input (or output, or node) there twice."""
    found = onnx.load_from_string(cell())
    repeated = getattr(found.graph, kind)
    repeated.append(repeated[0])
    return bytes(found.SerializeToString())


def _branch(name: str, of: onnx.NodeProto, rows: str = "N") -> onnx.GraphProto:
    return helper.make_graph([of], name, [], [info(of.output[0], _FLOAT, [rows, 3])])


def _if(other: onnx.NodeProto, rows: str = "N") -> bytes:
    """Tanh where the sum of all is above zero, and something else where it is not."""
    return onnx_graph(
        [
            node("ReduceSum", ["x"], ["sum"], keepdims=0),
            node("Greater", ["sum", "zero"], ["above"]),
            node(
                "If",
                ["above"],
                ["y"],
                then_branch=_branch("then", node("Tanh", ["x"], ["t"])),
                else_branch=_branch("else", other, rows),
            ),
        ],
        {"x": ["N", 3]},
        {"y": [rows, 3]},
        {"zero": np.array(0, np.float32)},
    )


def scan() -> bytes:
    """A recurrent layer written as Scan."""
    ends = [info(each, _FLOAT, ["N", 4]) for each in ("before", "now", "after", "out")]
    body = helper.make_graph(
        [
            node("Add", ["before", "now"], ["sum"]),
            node("Tanh", ["sum"], ["after"]),
            node("Neg", ["after"], ["out"]),
        ],
        "body",
        ends[:2],
        ends[2:],
    )
    return onnx_graph(
        [node("Scan", ["h", "x"], ["hn", "y"], num_scan_inputs=1, body=body)],
        {"x": ["T", "N", 4], "h": ["N", 4]},
        {"y": ["T", "N", 4], "hn": ["N", 4]},
    )


def loop(sent: bool) -> bytes:
    """A cell that runs several times a frame; `sent`: how often is an input."""
    body = helper.make_graph(
        [
            node("Add", ["old", "x"], ["sum"]),
            node("Tanh", ["sum"], ["new"]),
            node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            info("place", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("old", _FLOAT, ["N", 4]),
        ],
        [info("on", TensorProto.BOOL, []), info("new", _FLOAT, ["N", 4])],
    )
    return onnx_graph(
        [node("Loop", ["count", "", "h"], ["hn"], body=body), node("Neg", ["hn"], ["y"])],
        {"x": ["N", 4], "h": ["N", 4], **({"count": []} if sent else {})},
        {"y": ["N", 4], "hn": ["N", 4]},
        {} if sent else {"count": np.array(3, np.int64)},
        {"count": "int64"} if sent else {},
    )


def counting(dtype: str) -> bytes:
    """A state that is a number of frames, or whether that is odd."""
    more = node("Xor", ["state", "one"], ["state_out"]) if dtype == "bool" else None
    return onnx_graph(
        [
            more or node("Add", ["state", "one"], ["state_out"]),
            node("Cast", ["state_out"], ["number"], to=_FLOAT),
            node("Mul", ["x", "number"], ["y"]),
        ],
        {"x": ["N", 3], "state": ["N", 3]},
        {"y": ["N", 3], "state_out": ["N", 3]},
        {"one": np.array(1, dtype)},
        {"state": dtype, "state_out": dtype},
    )


def _started() -> bytes:
    """A cell whose state has a value inside the file."""
    found = onnx.load_from_string(cell())
    found.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 6), np.float32), "h"))
    return bytes(found.SerializeToString())


def _huge(*sizes: int) -> bytes:
    """A constant of this size, added up and added to what comes."""
    return onnx_graph(
        [
            node("ConstantOfShape", ["sizes"], ["large"]),
            node("ReduceSum", ["large"], ["sum"], keepdims=0),
            node("Add", ["x", "sum"], ["y"]),
        ],
        {"x": ["N", 3]},
        {"y": ["N", 3]},
        {"sizes": np.array(sizes, np.int64)},
    )


def _plain(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    **dtypes: str,
) -> Callable[[], bytes]:
    return lambda: onnx_graph(nodes, inputs, outputs, dtypes=dtypes)


_TANH = [node("Tanh", ["x"], ["y"])]
_KEPT = [node("Tanh", ["x"], ["y"]), node("Identity", ["h"], ["hn"])]
_SECOND = node("Identity", ["state2"], ["state2_out"])

ODD: Mapping[str, Callable[[], bytes]] = {
    "an input twice": lambda: _doubled("input"),
    "an output twice": lambda: _doubled("output"),
    "a node twice": lambda: _doubled("node"),
    "no input": lambda: onnx_graph(
        [node("Tanh", ["w"], ["y"])], {}, {"y": [2]}, {"w": np.ones(2, np.float32)}
    ),
    "no output": _plain(_TANH, {"x": ["N", 3]}, {}),
    "nothing": _plain([], {}, {}),
    "an empty axis": _plain(_TANH, {"x": ["N", 0]}, {"y": ["N", 0]}),
    "no rows": _plain(_TANH, {"x": [0, 3]}, {"y": [0, 3]}),
    "an empty state": _plain(
        [*_TANH, node("Identity", ["state"], ["state_out"])],
        {"x": ["N", 3], "state": ["N", 0]},
        {"y": ["N", 3], "state_out": ["N", 0]},
    ),
    "a negative axis": _plain(_TANH, {"x": ["N", -5]}, {"y": ["N", -5]}),
    "numbers alone": _plain(
        [node("Add", ["x", "h"], ["hn"]), node("Tanh", ["hn"], ["y"])],
        {"x": [], "h": []},
        {"y": [], "hn": []},
    ),
    "a number beside rows": lambda: cell(
        [node("Mul", ["y", "gain"], ["z"])], {"z": ["N", 3]}, inputs={"gain": []}
    ),
    "text": _plain(
        [node("Identity", ["x"], ["y"])], {"x": ["N"]}, {"y": ["N"]}, x="string", y="string"
    ),
    "text beside numbers": lambda: cell(
        [node("Cast", ["y"], ["z"], to=TensorProto.STRING)], {"z": ["N", 3]}, dtypes={"z": "string"}
    ),
    "text alone": _plain(
        [node("Cast", ["x"], ["y"], to=TensorProto.STRING)],
        {"x": ["N", 3]},
        {"y": ["N", 3]},
        y="string",
    ),
    "a dtype that is not served": _plain(
        [node("Cast", ["x"], ["y"], to=_FLOAT)], {"x": ["N", 3]}, {"y": ["N", 3]}, x="uint64"
    ),
    "bool": lambda: counting("bool"),
    "int64": lambda: counting("int64"),
    "int32": lambda: counting("int32"),
    "int16": lambda: counting("int16"),
    "an optional input": lambda: model(
        [node("OptionalGetElement", ["x"], ["y"])],
        [_typed("x", helper.make_optional_type_proto(_tensor()))],
        [info("y", _FLOAT, ["N", 3])],
    ),
    "a list beside numbers": lambda: model(
        [node("SequenceConstruct", ["x", "x"], ["s"]), node("Tanh", ["x"], ["y"])],
        [info("x", _FLOAT, ["N", 3])],
        [_typed("s", helper.make_sequence_type_proto(_tensor())), info("y", _FLOAT, ["N", 3])],
    ),
    "a list alone": lambda: model(
        [node("SequenceConstruct", ["x", "x"], ["s"])],
        [info("x", _FLOAT, ["N", 3])],
        [_typed("s", helper.make_sequence_type_proto(_tensor()))],
    ),
    "a list comes in": lambda: model(
        [node("SequenceLength", ["s"], ["y"])],
        [_typed("s", helper.make_sequence_type_proto(_tensor()))],
        [info("y", TensorProto.INT64, [])],
    ),
    "no rank": lambda: model(_TANH, [info("x", _FLOAT, None)], [info("y", _FLOAT, None)]),
    "no rank and a state": lambda: model(
        [node("Add", ["x", "h"], ["hn"]), node("Tanh", ["hn"], ["y"])],
        [info(each, _FLOAT, None) for each in "xh"],
        [info(each, _FLOAT, None) for each in ("y", "hn")],
    ),
    "if": lambda: _if(node("Neg", ["x"], ["e"])),
    "if with more rows": lambda: _if(node("Concat", ["x", "x"], ["e"], axis=0), "M"),
    "scan": scan,
    "loop": lambda: loop(sent=False),
    "loop as often as is said": lambda: loop(sent=True),
    "an input that nothing reads": lambda: cell(inputs={"dead": ["N", 2]}),
    "a state that nothing reads": lambda: cell(
        [_SECOND], {"state2_out": ["N", 2]}, inputs={"state2": ["N", 2]}
    ),
    "a state that passes through": _plain(
        _KEPT, {"x": ["N", 3], "h": ["N", 3]}, {"y": ["N", 3], "hn": ["N", 3]}
    ),
    "a state that is its new value": lambda: cell(outputs={"h": ["N", 6]}),
    "an output that is an input": _plain(_TANH, {"x": ["N", 3]}, {"y": ["N", 3], "x": ["N", 3]}),
    "nothing but an input": _plain([], {"x": ["N", 3]}, {"x": ["N", 3]}),
    "a constant output": lambda: cell(
        [node("Identity", ["k"], ["z"])], {"z": [2]}, {"k": np.ones(2, np.float32)}
    ),
    "a state that the file starts": _started,
    "a large constant": lambda: _huge(2000, 2000),
    "a constant too large": lambda: _huge(10**6, 10**7),
    "an axis too large": _plain(_TANH, {"x": ["N", 10**13]}, {"y": ["N", 10**13]}),
    "sizes that follow values": _plain(
        [node("NonZero", ["x"], ["y"])], {"x": ["N", 3]}, {"y": [2, "K"]}, y="int64"
    ),
    "eight open axes": _plain(_TANH, {"x": list("abcdefgh")}, {"y": list("abcdefgh")}),
    "names with signs": _plain(
        [node("Tanh", ["a=b"], ["y:z"])], {"a=b": ["N", 3]}, {"y:z": ["N", 3]}
    ),
    "names of other alphabets": _plain(
        [node("Tanh", ["вход ß"], ["y/0"])], {"вход ß": ["N", 3]}, {"y/0": ["N", 3]}
    ),
}
