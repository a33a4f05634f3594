"""LSTM layers with projection in ONNX, whose own LSTM has none: one Scan per layer and direction.

The exporter meets them as placeholder nodes; `expand` writes the Scan. The product with the inputs
stands outside the loop, in one matrix product over all time steps. With lengths a step beyond a
row's end keeps the state, in both directions, so that ragged batches stay exact.
(Sak, Senior, Beaufays 2014; gates in torch's order: input, forget, cell, output.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch.onnx import symbolic_helper
from torch.onnx.symbolic_opset9 import lstm as native_lstm
from torch.onnx.utils import register_custom_op_symbolic, unregister_custom_op_symbolic

from carousel.export.programs.graph import Nodes

OPSET = 17
_DOMAIN = "carousel"
_OP = "ProjectedLSTM"


@contextmanager
def placeholders(module: torch.nn.Module) -> Iterator[None]:
    """Within it `torch.onnx.export` writes a placeholder for every LSTM with projection."""
    if not any(isinstance(each, torch.nn.LSTM) and each.proj_size for each in module.modules()):
        yield
        return
    register_custom_op_symbolic("aten::lstm", _symbolic, OPSET)
    try:
        yield
    finally:
        unregister_custom_op_symbolic("aten::lstm", OPSET)


def _symbolic(g: Any, *args: Any) -> Any:
    """`aten::lstm`: (input, hx, weights, bias, layers, dropout, train, bidirectional,
    batch_first), or (data, lengths, hx, weights, ...) where the input is packed.
    """
    packed = symbolic_helper._is_tensor_list(args[3])
    inputs, rest = args[0], args[2:] if packed else args[1:]
    states, weights = (symbolic_helper._unpack_list(each) for each in rest[:2])
    biased, layers, bidirectional = (
        int(symbolic_helper._maybe_get_const(rest[place], "i")) for place in (2, 3, 6)
    )
    each_layer = 5 if biased else 3
    directions = 2 if bidirectional else 1
    if len(weights) != each_layer * layers * directions:
        return native_lstm(g, *args)
    time_major = packed or not symbolic_helper._maybe_get_const(rest[7], "i")
    if not time_major:
        inputs = g.op("Transpose", inputs, perm_i=[1, 0, 2])
    extra = [args[1]] if packed else []
    finals: list[list[Any]] = [[], []]
    for layer in range(layers):
        parts = []
        for way in range(directions):
            index = layer * directions + way
            own = [*weights[index * each_layer : (index + 1) * each_layer], *extra]
            part, *final = _placeholder(g, inputs, _slices(g, states, index), own, way, biased)
            parts.append(part)
            for found, each in zip(finals, final, strict=True):
                found.append(each)
        inputs = parts[0] if directions == 1 else g.op("Concat", *parts, axis_i=2)
    output = inputs if time_major else g.op("Transpose", inputs, perm_i=[1, 0, 2])
    return (output, *(g.op("Concat", *each, axis_i=0) for each in finals))


def _slices(g: Any, states: Any, index: int) -> list[Any]:
    """One layer's and direction's part of h and c: (1, B, P) and (1, B, H)."""
    return [
        symbolic_helper._slice_helper(g, each, axes=[0], starts=[index], ends=[index + 1])
        for each in states
    ]


def _placeholder(
    g: Any, inputs: Any, start: list[Any], own: list[Any], way: int, biased: int
) -> Any:
    flags = {"reverse_i": way, "biased_i": biased, "packed_i": int(len(own) in (4, 6))}
    return g.op(f"{_DOMAIN}::{_OP}", inputs, *start, *own, outputs=3, **flags)


def expand(model: onnx.ModelProto, lengths: str | None) -> None:
    """Replace every placeholder by its Scan, masked by `lengths` (int32, one a row) if given."""
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(model.graph.node):
        if node.op_type == _OP and node.domain == _DOMAIN:
            nodes += _Scan(model.graph, node, f"projection_{index}", lengths).nodes()
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kept = [each for each in model.opset_import if each.domain != _DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


class _Scan:
    """The nodes of one layer in one direction."""

    def __init__(
        self, graph: onnx.GraphProto, node: onnx.NodeProto, prefix: str, lengths: str | None
    ) -> None:
        flags = {each.name: each.i for each in node.attribute}
        self._x, self._h, self._c, self._w_ih, self._w_hh, *rest = node.input
        self._biases = [rest.pop(0), rest.pop(0)] if flags["biased"] else []
        self._w_hr = rest.pop(0)
        self._lengths = rest.pop(0) if flags["packed"] else lengths
        self._reverse = flags["reverse"]
        self._outputs = list(node.output)
        self._prefix = prefix
        self._graph = graph
        self._add = Nodes(graph, prefix)

    def nodes(self) -> list[onnx.NodeProto]:
        """All nodes in order: what stands before the loop, the loop, and the final states."""
        add = self._add
        zero = add.constant("zero", [0])
        scans = [self._gates()]
        if self._lengths is not None:
            scans.append(self._mask(self._lengths))
        h_0 = add.op("Squeeze", self._h, zero)  # (B, P)
        c_0 = add.op("Squeeze", self._c, zero)  # (B, H)
        h_n, c_n = add.name("h_n"), add.name("c_n")
        add.node(
            "Scan",
            [h_0, c_0, *scans],
            [h_n, c_n, self._outputs[0]],
            body=self._body(),
            num_scan_inputs=len(scans),
            scan_input_directions=[self._reverse] * len(scans),
            scan_output_directions=[self._reverse],
        )
        add.op("Unsqueeze", h_n, zero, output=self._outputs[1])
        add.op("Unsqueeze", c_n, zero, output=self._outputs[2])
        return add.nodes

    def _gates(self) -> str:
        """X W_ih^T + b: (T, B, 4H), for all time steps at once."""
        weights = self._add.op("Transpose", self._w_ih, perm=[1, 0])
        gates = self._add.op("MatMul", self._x, weights)
        for bias in self._biases:
            gates = self._add.op("Add", gates, bias)
        return gates

    def _mask(self, lengths: str) -> str:
        """True where a row still has steps: (T, B, 1)."""
        add = self._add
        start, delta = add.constant("start", 0), add.constant("delta", 1)
        time = add.op("Gather", add.op("Shape", self._x), start, axis=0)
        steps = add.op(
            "Unsqueeze", add.op("Range", start, time, delta), add.constant("inner", [1])
        )  # (T, 1)
        valid = add.op("Less", steps, add.op("Cast", lengths, to=TensorProto.INT64))  # (T, B)
        return add.op("Unsqueeze", valid, add.constant("last", [2]))

    def _body(self) -> onnx.GraphProto:
        """One time step: (h, c, gates[, valid]) -> (h', c', h')."""
        add = Nodes(self._graph, f"{self._prefix}_step")
        h_before, c_before = add.name("h"), add.name("c")
        inputs = [_value(h_before), _value(c_before), _value(add.name("gates"))]
        product = add.op("MatMul", h_before, add.op("Transpose", self._w_hh, perm=[1, 0]))
        total = add.op("Add", add.name("gates"), product)  # (B, 4H)
        i, f, g, o = (add.name(gate) for gate in ("i", "f", "g", "o"))
        add.node("Split", [total], [i, f, g, o], axis=-1)
        kept = add.op("Mul", add.op("Sigmoid", f), c_before)
        c = add.op("Add", kept, add.op("Mul", add.op("Sigmoid", i), add.op("Tanh", g)))  # (B, H)
        hidden = add.op("Mul", add.op("Sigmoid", o), add.op("Tanh", c))
        h = add.op("MatMul", hidden, add.op("Transpose", self._w_hr, perm=[1, 0]))  # (B, P)
        if self._lengths is not None:
            valid = add.name("valid")
            inputs.append(_value(valid, TensorProto.BOOL))
            c = add.op("Where", valid, c, c_before)
            h = add.op("Where", valid, h, h_before)
        outputs = [
            _value(add.op("Identity", each, output=add.name(name)))
            for each, name in ((h, "h_next"), (c, "c_next"), (h, "y"))
        ]
        return helper.make_graph(add.nodes, add.name("body"), inputs, outputs)


def _value(name: str, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, None)
