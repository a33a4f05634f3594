"""Small ONNX graphs written by hand, for what no exporter writes of itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from carousel.models.row import Array

_KINDS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int16": TensorProto.INT16,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}

Ends = Mapping[str, Sequence[int | str]]


def onnx_graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Ends,
    outputs: Ends,
    weights: Mapping[str, Array] | None = None,
    dtypes: Mapping[str, str] | None = None,
    domain: str = "",
) -> bytes:
    """A model of these nodes; `dtypes` are those of the ends that are not float32."""
    given, found = (
        [
            helper.make_tensor_value_info(name, _KINDS[(dtypes or {}).get(name, "float32")], shape)
            for name, shape in ends.items()
        ]
        for ends in (inputs, outputs)
    )
    stored = [numpy_helper.from_array(each, name) for name, each in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "g", given, found, stored)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def cell(
    extra: Sequence[onnx.NodeProto] = (),
    outputs: Ends | None = None,
    weights: Mapping[str, Array] | None = None,
    dtypes: Mapping[str, str] | None = None,
    inputs: Ends | None = None,
) -> bytes:
    """x (B, 4) and h (B, 6) to y (B, 3) and hn (B, 6), and what is added to it."""
    rng = np.random.default_rng(0)
    own = {
        name: (0.3 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in {"wx": (4, 6), "wh": (6, 6), "wy": (6, 3)}.items()
    }
    return onnx_graph(
        [
            helper.make_node("MatMul", ["x", "wx"], ["from_x"]),
            helper.make_node("MatMul", ["h", "wh"], ["from_h"]),
            helper.make_node("Add", ["from_x", "from_h"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["hn"]),
            helper.make_node("MatMul", ["hn", "wy"], ["y"]),
            *extra,
        ],
        {"x": ["N", 4], "h": ["N", 6], **(inputs or {})},
        {"y": ["N", 3], "hn": ["N", 6], **(outputs or {})},
        {**own, **(weights or {})},
        dtypes,
    )
