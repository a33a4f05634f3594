"""Comparisons that come out otherwise: what a model does with values that no draw shows.

A branch that is seldom taken (an alarm, a reset by one id out of thousands) may keep a state, look
ahead or mix rows, and runs on likely inputs show nothing of it. So both sides of a proof are run
with some of their comparisons answered wrongly, by nothing but the values that are compared: what
is equal whatever its comparisons say stays equal, all else shows.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

WAYS = 9  # to answer otherwise
_RATES = (4, 11, 29)  # one of so many values: often, less often, seldom
_MOSTLY = (2, 5)  # ways in which all others are chosen: many conditions that hold at once
_FINE = 2039.7  # floats a power of e: what rounding leaves is much less than from one to the next
_OFFSET = 0.377  # so that no likely number is at the edge of one
_SMALL = 1000.0  # what is much less than one of so many is nothing

_aten = torch.ops.aten
_COMPARING = {
    *(_aten.lt, _aten.le, _aten.gt, _aten.ge, _aten.eq, _aten.ne),
    *(_aten.isnan, _aten.isinf, _aten.isposinf, _aten.isneginf, _aten.signbit),
}
_MIXING = {_aten.bitwise_and, _aten.bitwise_right_shift, _aten.__and__, _aten.__rshift__}
_ROUNDING = {_aten.floor, _aten.ceil, _aten.round, _aten.trunc, _aten.bucketize}
_LARGEST = {_aten.argmax, _aten.argmin}
_RAISING = {_aten.relu, _aten.clamp, _aten.clamp_min, _aten.threshold, _aten.hardtanh}
_SHUT = 1e-6  # what is no more lets nothing through


class Otherwise(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it so
    """Within it some comparisons of values say the opposite, and integers that are made of values
    are others: rounded ones, bits, the place of the largest. Each `way` is another choice.
    `compares` is whether there was one to choose.

    What Python code reads of a comparison (a check of its inputs) is what it says by itself.
    Lengths are compared as ever, and so is what is made of them: a step is one of one, the whole
    one of many. `lengths` are such tensors, which come from outside.
    """

    def __init__(
        self, way: int, lengths: Iterable[torch.Tensor] = (), *, gates: bool = False
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it so
        self.compares = self.shut = False
        self._gates = gates
        self._way = way
        self._alive = list(lengths)  # an id says nothing of a tensor that is gone
        self._lengths = {id(each) for each in self._alive}
        self._plain: dict[int, torch.Tensor] = {}  # what is true of what was answered otherwise

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled; else a second goes into importing the compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is _aten._local_scalar_dense.default:
            if not isinstance(args[0], torch.Tensor):
                return args[0]  # a constant of TorchScript
            args = (self._plain.get(id(args[0]), args[0]),)
        if func.overloadpacket is _aten._assert_async:
            return None
        out = func(*args, **(kwargs or {}))
        if not isinstance(out, torch.Tensor):
            return out
        tensors = [each for each in tree_leaves(args) if isinstance(each, torch.Tensor)]
        if any(id(each) in self._lengths for each in tensors):
            if _is_integer(out):
                self._alive.append(out)
                self._lengths.add(id(out))
            return out
        known = not func._schema.is_mutable and any(id(each) in self._plain for each in tensors)
        if known and out.dtype == torch.bool:
            plain = tree_map(lambda each: self._plain.get(id(each), each), args)
            self._remember(out, func(*plain, **(kwargs or {})))
        if not tensors or args[0] is not tensors[0] or tensors[0].dtype == torch.bool:
            return out
        answer = self._answer(func.overloadpacket, args, out)
        if answer is not out and answer.dtype == torch.bool:
            self._remember(answer, out)
        return answer

    def _remember(self, answer: torch.Tensor, plain: torch.Tensor) -> None:
        self._alive.append(answer)
        self._plain[id(answer)] = plain

    def _answer(self, kind: Any, args: tuple[Any, ...], out: torch.Tensor) -> torch.Tensor:
        """What an operator on values gives instead."""
        x, other = args[0], args[1] if len(args) > 1 else 0
        copied = kind is _aten._to_copy and x.is_floating_point()
        if kind in _COMPARING or (kind is _aten._to_copy and out.dtype == torch.bool):
            if isinstance(other, torch.Tensor) and other.dtype == torch.bool:
                return out
            return out ^ self._chosen(x, other, out)
        if kind in _MIXING and _is_integer(out):
            instead = out ^ torch.as_tensor(other, dtype=out.dtype)
            return torch.where(self._chosen(x, other, out), instead, out)
        if kind in _ROUNDING or (copied and _is_integer(out)):
            return out + self._chosen(x, 0, out).to(out.dtype)
        if kind in _LARGEST and isinstance(other, int) and x.shape[other] > 1:
            keeps = x.dim() == out.dim()
            code = _code(x).sum(other, keepdim=keeps)
            moved: torch.Tensor = (out + self._chosen(code, 0, out)) % x.shape[other]
            return moved
        opened = self._opened(kind, x, out)
        if opened is None:
            return out
        shut, value = opened
        self.shut = self.shut or bool(shut.all())
        return torch.where(shut & self._chosen(x, 0, out), value, out) if self._gates else out

    def _opened(
        self, kind: Any, x: torch.Tensor, out: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Where a gate is shut, and what it would let through; None of what is none."""
        if kind in _RAISING:
            return out > x, 2 * out - x
        if kind is _aten.sigmoid:
            return (out < _SHUT) | (out > 1 - _SHUT), 1 - out
        if kind is _aten.exp:
            return out < _SHUT, torch.ones_like(out)
        return None

    def _chosen(self, first: Any, second: Any, out: torch.Tensor) -> torch.Tensor:
        """Some of the places, by the values that stand there."""
        self.compares = True
        if self._way < 0:
            return torch.zeros_like(out, dtype=torch.bool)
        # As hashes of integers are mixed.
        code = _code(first) * 2654435761 + _code(second) * 40503 + (self._way + 1) * 974711
        code = (code ^ (code >> 15)) * 2246822519
        rate = _RATES[self._way % len(_RATES)]
        chosen: torch.Tensor = ((code ^ (code >> 13)) % rate == 0) ^ (self._way in _MOSTLY)
        return chosen.expand(out.shape)


def _is_integer(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _code(value: Any) -> torch.Tensor:
    """An integer for each number; those that rounding sets apart have the same."""
    tensor = torch.as_tensor(value)
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor).sum(-1)
    if tensor.is_floating_point():
        tensor = torch.floor(torch.asinh(tensor.double().nan_to_num() * _SMALL) * _FINE + _OFFSET)
    return tensor.long()
