"""Files whose GRU may get no time step, by whatever way its steps are left out.

ONNX Runtime 1.31 ends the process that runs one so.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from carousel.models.row import Array
from tests.export.imported.foreign.graphs import onnx_graph

LEFT_OUT = 5
_STORED: Mapping[str, Array] = {
    "five": np.array([LEFT_OUT]),
    "end": np.array([10**6]),
    "time": np.array([0]),
    "one": np.array([1]),
    "zero": np.array(0),
    "first": np.array(LEFT_OUT),
    "next": np.array(1),
    "yes": np.array(True),
    "nothing": np.array(0, np.float32),
    "loudness": np.array(1e-3, np.float32),
}
_LATE = helper.make_node("Slice", ["x", "five", "end", "time"], ["late"])


def _stored() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    shapes = {"w": (1, 15, 4), "r": (1, 15, 5), "w2": (1, 15, 5), "r2": (1, 15, 5)}
    weights = {
        name: (0.4 * rng.standard_normal(each)).astype(np.float32) for name, each in shapes.items()
    }
    return {**_STORED, **weights}


def _gru(given: str, found: str = "Y") -> NodeProto:
    return helper.make_node("GRU", [given, "w", "r"], [found, f"{found}_h"], hidden_size=5)


def _file(nodes: Sequence[NodeProto]) -> bytes:
    """x (T, B, 4) to y (T - 5, B, 5)."""
    squeezed = helper.make_node("Squeeze", ["Y", "one"], ["y"])
    return onnx_graph([*nodes, squeezed], {"x": ["T", "N", 4]}, {"y": ["later", "N", 5]}, _stored())


def after_another() -> bytes:
    """Between two recurrent layers, of which the first gets all steps."""
    return _file(
        [
            _gru("x", "all"),
            helper.make_node("Squeeze", ["all", "one"], ["flat"]),
            helper.make_node("Slice", ["flat", "five", "end", "time"], ["late"]),
            helper.make_node("GRU", ["late", "w2", "r2"], ["Y"], hidden_size=5),
        ]
    )


def gathered() -> bytes:
    """By the numbers of the steps."""
    return _file(
        [
            helper.make_node("Shape", ["x"], ["sizes"]),
            helper.make_node("Gather", ["sizes", "zero"], ["steps"]),
            helper.make_node("Range", ["first", "steps", "next"], ["places"]),
            helper.make_node("Gather", ["x", "places"], ["late"]),
            _gru("late"),
        ]
    )


def split() -> bytes:
    """As the second part."""
    return _file(
        [
            helper.make_node("Shape", ["x"], ["steps"], start=0, end=1),
            helper.make_node("Min", ["steps", "five"], ["early"]),
            helper.make_node("Sub", ["steps", "early"], ["rest"]),
            helper.make_node("Concat", ["early", "rest"], ["parts"], axis=0),
            helper.make_node("Split", ["x", "parts"], ["begin", "late"], axis=0),
            _gru("late"),
        ]
    )


def chosen() -> bytes:
    """Behind an operator whose first input is stored."""
    return _file([_LATE, helper.make_node("Where", ["yes", "late", "late"], ["all"]), _gru("all")])


def added() -> bytes:
    """The same of a sum."""
    return _file([_LATE, helper.make_node("Add", ["nothing", "late"], ["all"]), _gru("all")])


def branched() -> bytes:
    """In both branches of an If."""
    branches = {
        name: helper.make_graph(
            [
                helper.make_node("Slice", ["x", "five", "end", "time"], [f"{name}_late"]),
                _gru(f"{name}_late", f"{name}_all"),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_all", TensorProto.FLOAT, None)],
        )
        for name in ("then_branch", "else_branch")
    }
    return _file(
        [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Greater", ["most", "nothing"], ["is_loud"]),
            helper.make_node("If", ["is_loud"], ["Y"], **branches),
        ]
    )


def called() -> bytes:
    """In a function of the file's own."""
    model = onnx.load_model_from_string(
        _file([helper.make_node("Late", ["x", "w", "r"], ["Y"], domain="own")])
    )
    inside = [
        helper.make_node("Constant", [], ["five"], value_ints=[LEFT_OUT]),
        helper.make_node("Constant", [], ["end"], value_ints=[10**6]),
        helper.make_node("Constant", [], ["time"], value_ints=[0]),
        _LATE,
        _gru("late"),
    ]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function("own", "Late", ["x", "w", "r"], ["Y"], inside, opsets)
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    return bytes(model.SerializeToString())


BY_LENGTH: Mapping[str, Callable[[], bytes]] = {
    each.__name__: each
    for each in (after_another, gathered, split, chosen, added, branched, called)
}


def loud_only() -> bytes:
    """x (T, 1, 4) without its silent steps to emb (1, 5)."""
    return onnx_graph(
        [
            helper.make_node("Abs", ["x"], ["size"]),
            helper.make_node("ReduceMax", ["size"], ["most"], axes=[1, 2], keepdims=0),
            helper.make_node("Greater", ["most", "loudness"], ["is_loud"]),
            helper.make_node("Compress", ["x", "is_loud"], ["loud"], axis=0),
            _gru("loud"),
            helper.make_node("Squeeze", ["Y_h", "time"], ["emb"]),
        ],
        {"x": ["T", 1, 4]},
        {"emb": [1, 5]},
        _stored(),
    )


def unpadded(padding: int) -> bytes:
    """ids (T) without those of padding to emb (1, 5)."""
    table = np.random.default_rng(3).standard_normal((50, 4)).astype(np.float32)
    return onnx_graph(
        [
            helper.make_node("Equal", ["ids", "padding"], ["is_padding"]),
            helper.make_node("Not", ["is_padding"], ["is_id"]),
            helper.make_node("Gather", ["table", "ids"], ["every"]),
            helper.make_node("Compress", ["every", "is_id"], ["rest"], axis=0),
            helper.make_node("Unsqueeze", ["rest", "one"], ["x"]),
            _gru("x"),
            helper.make_node("Squeeze", ["Y_h", "time"], ["emb"]),
        ],
        {"ids": ["T"]},
        {"emb": [1, 5]},
        {**_stored(), "table": table, "padding": np.array(padding)},
        {"ids": "int64"},
    )
