"""How many time steps the recurrent nodes of an ONNX file get: with none a GRU ends the process.

ONNX Runtime 1.31 aborts on a GRU of zero steps, which a Slice or a convolution in front may leave;
an LSTM answers with zeros there. The steps are counted by the part of the file that makes them.
"""

from collections.abc import Iterator, Mapping

import onnx
from onnx import helper

from carousel.export.files.graphs import RECURRENT, origin, reads
from carousel.export.programs.runtime import Tensors, open_session, run_session


class Counter:
    """Counts the steps of every recurrent node that none comes before, where its input's steps are
    not those of the file's.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._nodes = dict(_counted(model))
        self._session = open_session(_front(model, self._nodes)) if self._nodes else None
        self._given = (
            [] if self._session is None else [each.name for each in self._session.get_inputs()]
        )

    def __repr__(self) -> str:
        return f"<Counter {list(self._nodes.values())}>"

    def check(self, values: Tensors) -> None:
        """Raise ValueError where one would get no step; what the runtime raises, too."""
        if self._session is None:
            return
        shapes = [_shape(value) for value in self._nodes]
        found = run_session(self._session, self._given, shapes, values)
        for name, shape in zip(self._nodes.values(), found.values(), strict=True):
            if int(shape[0]) == 0:
                raise ValueError(f"{name} would get no time step")


def _counted(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """What such nodes read, and what to call them."""
    makers = {output: node for node in model.graph.node for output in node.output}
    after: set[str] = set()  # what is made of what a recurrent node gives
    for node in model.graph.node:
        recurrent = node.op_type in RECURRENT
        if recurrent and node.input[0] not in after and not origin(node.input[0], makers):
            yield node.input[0], f"the {node.op_type} {node.name}".rstrip()
        if recurrent or after & reads(node):
            after |= set(node.output)


def _front(model: onnx.ModelProto, wanted: Mapping[str, str]) -> bytes:
    """The file up to the shapes of `wanted`."""
    front = onnx.ModelProto()
    front.CopyFrom(model)
    graph = front.graph
    needed, nodes = set(wanted), list[onnx.NodeProto]()
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.insert(0, node)
            needed |= reads(node)
    nodes += [helper.make_node("Shape", [value], [_shape(value)]) for value in wanted]
    del graph.node[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.output.extend(onnx.ValueInfoProto(name=_shape(value)) for value in wanted)
    for kind in (graph.input, graph.initializer):
        kept = [each for each in kind if each.name in needed]
        del kind[:]
        kind.extend(kept)
    return bytes(front.SerializeToString())


def _shape(value: str) -> str:
    return f"{value}:steps"
