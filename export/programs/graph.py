"""ONNX nodes written by hand, each with a name of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Nodes:
    """A run of nodes whose names begin with `prefix`; constants go into `graph`."""

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        self._graph = graph
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []

    def __repr__(self) -> str:
        return f"<Nodes {self._prefix} nodes={len(self.nodes)}>"

    def name(self, name: str) -> str:
        """A name that no other run of nodes uses."""
        return f"{self._prefix}_{name}"

    def constant(self, name: str, value: int | Sequence[int]) -> str:
        """An int64 constant, a scalar or a list."""
        array = np.array(value, dtype=np.int64)
        self._graph.initializer.append(numpy_helper.from_array(array, self.name(name)))
        return self.name(name)

    def op(self, kind: str, *inputs: str, output: str | None = None, **flags: Any) -> str:
        """One node with one output; returns its name."""
        name = output or self.name(f"{kind.lower()}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **flags))
        return name

    def node(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **flags: Any) -> None:
        """One node with any outputs."""
        name = self.name(f"{kind.lower()}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), name=name, **flags))
