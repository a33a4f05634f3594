"""LSTM layers with projection in ONNX, whose own LSTM has none: one Scan per layer and direction.

The exporter meets them as placeholder nodes; `expand` writes the Scan. The product with the inputs
stands outside the loop, in one matrix product over all time steps. With lengths a step beyond a
row's end keeps the state, in both directions, so that ragged batches stay exact.
(Sak, Senior, Beaufays 2014; gates in torch's order: input, forget, cell, output.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.onnx import symbolic_helper
from torch.onnx.symbolic_opset9 import lstm as native_lstm
from torch.onnx.utils import register_custom_op_symbolic, unregister_custom_op_symbolic

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
    packed = symbolic_helper._is_tensor_list(args[3])
    inputs, rest = args[0], args[2:] if packed else args[1:]
    states, weights = (symbolic_helper._unpack_list(each) for each in rest[:2])
    biased, layers, _, _, bidirectional = (
        symbolic_helper._maybe_get_const(each, "f" if index == 3 else "i")
        for index, each in enumerate(rest[2:7])
    )
    each_layer = 5 if biased else 3
    directions = 2 if bidirectional else 1
    if len(weights) != each_layer * layers * directions:
        return native_lstm(g, *args)
    time_major = packed or not symbolic_helper._maybe_get_const(rest[7], "i")
    if not time_major:
        inputs = g.op("Transpose", inputs, perm_i=[1, 0, 2])
    finals: list[list[Any]] = [[], []]
    for layer in range(layers):
        parts = []
        for way in range(directions):
            index = layer * directions + way
            own = weights[index * each_layer : (index + 1) * each_layer]
            start = [
                symbolic_helper._slice_helper(g, each, axes=[0], starts=[index], ends=[index + 1])
                for each in states
            ]
            extra = [args[1]] if packed else []
            part, h_n, c_n = g.op(
                f"{_DOMAIN}::{_OP}", inputs, *start, *own, *extra,
                outputs=3, reverse_i=way, biased_i=int(biased), packed_i=int(packed),
            )  # fmt: skip
            parts.append(part)
            finals[0].append(h_n)
            finals[1].append(c_n)
        inputs = parts[0] if directions == 1 else g.op("Concat", *parts, axis_i=2)
    output = inputs if time_major else g.op("Transpose", inputs, perm_i=[1, 0, 2])
    return (output, *(g.op("Concat", *each, axis_i=0) for each in finals))


def expand(model: onnx.ModelProto, lengths: str | None) -> None:
    """Replace every placeholder by its Scan, masked by `lengths` (int32, one a row) if given."""
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(model.graph.node):
        if node.op_type == _OP and node.domain == _DOMAIN:
            nodes += _Scan(node, f"projection_{index}", lengths).nodes(model.graph)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kept = [each for each in model.opset_import if each.domain != _DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


class _Scan:
    """The nodes of one layer in one direction."""

    def __init__(self, node: onnx.NodeProto, prefix: str, lengths: str | None) -> None:
        flags = {each.name: each.i for each in node.attribute}
        self._x, self._h, self._c, self._w_ih, self._w_hh, *rest = node.input
        self._biases = [rest.pop(0), rest.pop(0)] if flags["biased"] else []
        self._w_hr = rest.pop(0)
        self._lengths = rest.pop(0) if flags["packed"] else lengths
        self._reverse = flags["reverse"]
        self._outputs = list(node.output)
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []

    def nodes(self, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
        """All nodes in order; constants go into `graph` as initializers."""
        for name, value in (("zero", [0]), ("one", [1]), ("two", [2])):
            array = np.array(value, dtype=np.int64)
            graph.initializer.append(numpy_helper.from_array(array, self._name(name)))
        for name, scalar in (("start", 0), ("delta", 1)):
            array = np.array(scalar, dtype=np.int64)
            graph.initializer.append(numpy_helper.from_array(array, self._name(name)))
        gates = self._gates()
        scans = [gates]
        if self._lengths is not None:
            scans.append(self._mask())
        h_0 = self._add("Squeeze", [self._h, self._name("zero")])  # (B, P)
        c_0 = self._add("Squeeze", [self._c, self._name("zero")])  # (B, H)
        h_n, c_n = self._name("h_n"), self._name("c_n")
        self._nodes.append(
            helper.make_node(
                "Scan",
                [h_0, c_0, *scans],
                [h_n, c_n, self._outputs[0]],
                name=self._prefix,
                body=self._body(),
                num_scan_inputs=len(scans),
                scan_input_directions=[self._reverse] * len(scans),
                scan_output_directions=[self._reverse],
            )
        )
        for final, output in zip((h_n, c_n), self._outputs[1:], strict=True):
            self._add("Unsqueeze", [final, self._name("zero")], output)
        return self._nodes

    def _gates(self) -> str:
        """X W_ih^T + b: (T, B, 4H), for all time steps at once."""
        weights = self._add("Transpose", [self._w_ih], perm=[1, 0])
        gates = self._add("MatMul", [self._x, weights])
        for bias in self._biases:
            gates = self._add("Add", [gates, bias])
        return gates

    def _mask(self) -> str:
        """True where a row still has steps: (T, B, 1)."""
        shape = self._add("Shape", [self._x])
        time = self._add("Gather", [shape, self._name("start")], axis=0)
        clock = self._add("Range", [self._name("start"), time, self._name("delta")])
        steps = self._add("Unsqueeze", [clock, self._name("one")])  # (T, 1)
        lengths = self._add("Cast", [self._lengths or ""], to=TensorProto.INT64)  # (B,)
        valid = self._add("Less", [steps, lengths])  # (T, B)
        return self._add("Unsqueeze", [valid, self._name("two")])

    def _body(self) -> onnx.GraphProto:
        """One time step: (h, c, gates[, valid]) -> (h', c', h')."""
        body = _Body(self._prefix)
        inputs = [body.value("h"), body.value("c"), body.value("gates")]
        weights = body.op("Transpose", self._w_hh, perm=[1, 0])
        product = body.op("MatMul", body.name("h"), weights)
        total = body.op("Add", body.name("gates"), product)
        i, f, g, o = body.split(total)
        kept = body.op("Mul", body.op("Sigmoid", f), body.name("c"))
        added = body.op("Mul", body.op("Sigmoid", i), body.op("Tanh", g))
        c = body.op("Add", kept, added)
        hidden = body.op("Mul", body.op("Sigmoid", o), body.op("Tanh", c))
        h = body.op("MatMul", hidden, body.op("Transpose", self._w_hr, perm=[1, 0]))
        if self._lengths is not None:
            valid = helper.make_tensor_value_info(body.name("valid"), TensorProto.BOOL, None)
            inputs.append(valid)
            c = body.op("Where", body.name("valid"), c, body.name("c"))
            h = body.op("Where", body.name("valid"), h, body.name("h"))
        outputs = [body.result(h, "h_next"), body.result(c, "c_next"), body.result(h, "y")]
        return helper.make_graph(body.nodes, f"{self._prefix}_step", inputs, outputs)

    def _add(self, kind: str, inputs: list[str], output: str | None = None, **flags: Any) -> str:
        name = output or self._name(f"{kind.lower()}_{len(self._nodes)}")
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **flags))
        return name

    def _name(self, name: str) -> str:
        return f"{self._prefix}_{name}"


class _Body:
    """Nodes of the loop's body; names do not meet those of the graph around it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []

    def name(self, name: str) -> str:
        return f"{self._prefix}_step_{name}"

    def value(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(self.name(name), TensorProto.FLOAT, None)

    def op(self, kind: str, *inputs: str, **flags: Any) -> str:
        output = self.name(str(len(self.nodes)))
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **flags))
        return output

    def split(self, total: str) -> list[str]:
        names = [self.name(gate) for gate in ("i", "f", "g", "o")]
        self.nodes.append(helper.make_node("Split", [total], names, axis=-1))
        return names

    def result(self, value: str, name: str) -> onnx.ValueInfoProto:
        self.nodes.append(helper.make_node("Identity", [value], [self.name(name)]))
        return self.value(name)
