"""TorchScript that forward calls: where it decides by what tensors hold, the Python that it was
made from runs instead, so that its decisions are seen and judged as any other.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from carousel.export.errors import ExportRefused
from carousel.export.module.unwatchable import WAY_OUT, nodes

KINDS: tuple[Any, ...] = (torch._C.ScriptFunction, torch._C.ScriptMethod)
# What is known of a tensor without a look at what it holds.
_NO_VALUES = frozenset(
    (
        *("aten::size", "aten::dim", "aten::len", "aten::numel", "aten::stride"),
        *("aten::__is__", "aten::__isnot__", "prim::isinstance", "aten::is_floating_point"),
        *(
            "aten::is_complex",
            "aten::is_contiguous",
            "aten::element_size",
            "aten::_shape_as_tensor",
        ),
        *("prim::dtype", "prim::device", "prim::shape", "prim::layout", "prim::is_cuda"),
        *("prim::requires_grad", "aten::zeros_like", "aten::ones_like", "aten::empty_like"),
        *("aten::new_zeros", "aten::new_ones"),
    )
)
_NUMBERS = ("int", "float", "bool", "number")
_INTO = ("aten::append", "aten::insert", "aten::extend", "aten::_set_item")


def python_behind(script: Any) -> Callable[..., Any] | None:
    """What a function was made from, as torch.compile finds it; a method has none."""
    found: Callable[..., Any] | None = getattr(script, "_torchdynamo_inline", None)
    return found


def decides(script: Any) -> bool:
    """Whether it goes one way or the other, or as often, by what the tensors that it takes hold;
    sizes, dtypes and what is None are no such thing, and neither is a guard that raises.
    """
    graph = script.inlined_graph
    if graph.findNode("prim::If") is None and graph.findNode("prim::Loop") is None:
        return False
    found = _Values(graph)
    return any(found.decides(node) for node in nodes(graph))


@contextmanager
def decisions_in_python() -> Iterator[None]:
    """Within it the Python behind functions that decide runs in their place; raises ExportRefused
    where there is none.
    """
    with ExitStack() as stack:
        for kind in KINDS:
            stack.callback(setattr, kind, "__call__", kind.__call__)
            kind.__call__ = _watched(kind.__call__)
        yield


def _watched(call: Any) -> Any:
    def scripted(own: Any, *args: Any, **kwargs: Any) -> Any:
        if not decides(own):
            return call(own, *args, **kwargs)
        python = python_behind(own)
        if python is None:
            raise ExportRefused(
                f"{getattr(own, 'name', 'a part of forward')!r} is TorchScript that decides by the "
                "values of its inputs, which cannot be watched",
                WAY_OUT,
            )
        return python(*args, **kwargs)

    return scripted


class _Values:
    """The values of a graph that are made from what its tensors hold."""

    def __init__(self, graph: Any) -> None:
        kinds = (each for each in graph.inputs() if "Tensor" in str(each.type()))
        self._held = {each.debugName() for each in kinds}
        size = -1
        while size < len(self._held):  # what a loop hands on is seen at last
            size = len(self._held)
            self._follow(graph)

    def __repr__(self) -> str:
        return f"<_Values {len(self._held)}>"

    def decides(self, node: Any) -> bool:
        """Whether a node is an `if` or a loop by such a value, or hands on numbers made of it."""
        if node.kind() == "prim::If":
            guards = any(_only_raises(block) for block in node.blocks())
            return not guards and self._has(next(iter(node.inputs())))
        if node.kind() == "prim::Loop":
            goes_on = next(iter(next(iter(node.blocks())).outputs()))
            carried = [each for each in node.outputs() if str(each.type()) in _NUMBERS]
            return any(map(self._has, (*list(node.inputs())[:2], goes_on, *carried)))
        return False

    def _has(self, value: Any) -> bool:
        return value.debugName() in self._held

    def _follow(self, block: Any) -> None:
        for node in block.nodes():
            if node.kind() in _NO_VALUES:
                continue
            inner = list(node.blocks())
            if node.kind() == "prim::Loop":
                # Of each that a loop hands on: where it starts, what stands inside, and the ends.
                carried = list(node.inputs())[2:]
                inside, left = list(inner[0].inputs())[1:], list(inner[0].outputs())[1:]
                for each in zip(carried, inside, left, node.outputs(), strict=True):
                    self._share(each[:1], each[1:2])
                    self._share(each[:3], (each[1], each[3]))
            for each in inner:
                self._follow(each)
            if node.kind() == "prim::If":
                condition = next(iter(node.inputs()))
                ways = (list(each.outputs()) for each in inner)
                for first, second, out in zip(*ways, node.outputs(), strict=True):
                    self._share((condition, first, second), (out,))
            elif not inner:
                self._share(node.inputs(), node.outputs())
                if node.kind() in _INTO or _is_in_place(node.kind()):
                    self._share(node.inputs(), _views(next(iter(node.inputs()))))

    def _share(self, sources: Any, targets: Any) -> None:
        if any(map(self._has, sources)):
            self._held |= {each.debugName() for each in targets}


def _is_in_place(kind: str) -> bool:
    return kind.startswith("aten::") and kind.endswith("_") and not kind.endswith("__")


def _views(value: Any) -> Iterator[Any]:
    """A value, and what it may be a part of."""
    while True:
        yield value
        inputs = list(value.node().inputs())
        if not value.node().kind().startswith("aten::") or not inputs:
            return
        value = inputs[0]


def _only_raises(block: Any) -> bool:
    return any(node.kind() == "prim::RaiseException" for node in block.nodes())
