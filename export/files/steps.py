"""Recurrent nodes that may get no time step: with none a GRU ends the process that runs it.

ONNX Runtime 1.31 aborts on a GRU of zero steps; an LSTM answers with zeros there. Where a file does
not show that what such a node reads is never empty, a guard stands in front of it, at the cost of
a few operators on three numbers: it fails, where the runtime would end.
"""

import re
from collections.abc import Collection, Iterator, MutableSequence

import onnx
from onnx import TensorProto, helper

from carousel.export.files.graphs import RECURRENT, every_name, nodes, subgraphs
from carousel.export.programs.faults import RunFailed

# Of these what comes out is empty only where the first input is,
_ALIKE = {
    *("Cast", "Identity", "Dropout", "Clip", "Transpose", "Reshape", "Flatten", "Squeeze"),
    *("Unsqueeze", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Tanh", "Sigmoid", "Erf"),
    *("HardSigmoid", "HardSwish", "Softplus", "Exp", "Log", "Sqrt", "Abs", "Neg", "Softmax"),
    *("LogSoftmax", "BatchNormalization", "InstanceNormalization", "LayerNormalization"),
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"),
    *RECURRENT,
}
# and of these where one of them is.
_JOINED = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "Where", "Concat"),
    *("MatMul", "Gemm", "Gather", "Equal", "Greater", "Less", "And", "Or", "Not"),
}
FATAL = {"GRU"}  # what ends the process
_MARK = "no time step for the "
_MARKED = re.compile(rf"{_MARK}(?P<op>\w+)(?P<name>[^']*)'")


class NoStep(RunFailed):
    """A run that left a recurrent node no time step; `ends`: the file itself would not return."""

    def __init__(self, op: str, name: str) -> None:
        super().__init__(ValueError(f"the {op}{name} would get no time step"))
        self.ends = op in FATAL


def no_step(error: Exception) -> NoStep | None:
    """What a guard said, if it was one."""
    found = _MARKED.search(str(error))
    return None if found is None else NoStep(found["op"], found["name"])


def guarded(model: onnx.ModelProto, kinds: Collection[str]) -> bytes | None:
    """The file with guards before nodes of these kinds, wherever they stand; None without need."""
    if not any(node.op_type in kinds for node in nodes(model)):
        return None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    guard = _Guard(kinds, every_name(model))
    guard.graph(copy.graph, {each.name for each in copy.graph.input})
    for function in copy.functions:
        guard.nodes(function.node, set())
    return bytes(copy.SerializeToString()) if guard.count else None


class _Guard:
    """Puts guards in; `count` is how many there are."""

    def __init__(self, kinds: Collection[str], names: Collection[str]) -> None:
        self._kinds = kinds
        self.count = 0
        self._prefix = "steps"
        while any(each.startswith(self._prefix) for each in names):
            self._prefix += "_"

    def __repr__(self) -> str:
        return f"<_Guard {sorted(self._kinds)} count={self.count}>"

    def graph(self, graph: onnx.GraphProto, filled: set[str]) -> None:
        """Guards in a graph; `filled` are tensors around it that are never empty."""
        stored = {each.name for each in graph.initializer if 0 not in each.dims}
        self.nodes(graph.node, filled | stored)

    def nodes(self, nodes: MutableSequence[onnx.NodeProto], filled: set[str]) -> None:
        """The same of nodes in their order."""
        found: list[onnx.NodeProto] = []
        for node in nodes:
            for graph in subgraphs(node):
                self.graph(graph, filled)
            if node.op_type in self._kinds and node.input[0] not in filled:
                found += self._before(node)
                filled.add(node.input[0])
            if _is_filled(node, filled):
                filled |= set(node.output)
            found.append(node)
        del nodes[:]
        nodes.extend(found)

    def _before(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Nodes of every opset that hand on what the node reads, and fail where it is empty.

        Where a size is 0 the second number of one is asked for; a shape of zeros is the own one.
        """
        parts = ("sizes", "zeros", "none", "empty", "places", "own", "given")
        sizes, zeros, none, empty, places, own, given = (
            f"{self._prefix}.{self.count}.{part}" for part in parts
        )
        self.count += 1
        called = re.sub(r"[^\w./:-]", "_", node.name)
        said = f"{sizes}: {_MARK}{node.op_type} {called}".rstrip()
        yield helper.make_node("Shape", [node.input[0]], [sizes])
        for name, count in ((zeros, 3), (none, 1)):
            value = helper.make_tensor(name, TensorProto.INT64, [count], [0] * count)
            yield helper.make_node("Constant", [], [name], value=value)
        yield helper.make_node("Equal", [sizes, zeros], [empty])
        yield helper.make_node("Cast", [empty], [places], to=TensorProto.INT64)
        yield helper.make_node("Gather", [none, places], [own], name=said)
        yield helper.make_node("Reshape", [node.input[0], own], [given])
        node.input[0] = given


def _is_filled(node: onnx.NodeProto, filled: Collection[str]) -> bool:
    """Whether what the node gives is never empty."""
    if node.op_type == "Constant":
        return all(0 not in each.t.dims for each in node.attribute)
    given = [each for each in node.input if each]
    if node.op_type in _ALIKE:
        given = given[:1]
    return node.op_type in _ALIKE | _JOINED and all(each in filled for each in given)
