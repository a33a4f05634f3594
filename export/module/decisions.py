"""Decisions by value: where forward turns what its inputs hold into Python values.

A program records one way through forward. `if x.max() > 1:` takes another way for other inputs,
which no number of comparisons is sure to meet, so each such place is found. Sizes are no values: a
program follows them, and that is measured.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from carousel.export.module.tree import flatten

_Tensor: Any = torch.Tensor
_TRUTHS: tuple[Any, ...] = (
    *(_Tensor.__bool__, _Tensor.is_nonzero, torch.is_nonzero, _Tensor.__contains__),
    *(torch.equal, _Tensor.equal, torch.allclose, _Tensor.allclose),
)
_NUMBERS: tuple[Any, ...] = (
    *(_Tensor.item, _Tensor.__int__, _Tensor.__float__, _Tensor.__index__),
    *(_Tensor.tolist, _Tensor.numpy, _Tensor.__array__),
)
_COMPARE = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "isnan"))
_TORCH = str(Path(torch.__file__).parent)
_FAR = 10**6  # an integer that is given instead of another
_OFTEN = 2000  # more than a run of few steps asks
_BETWEEN = (__file__, torch.overrides.__file__)


@dataclass(frozen=True, slots=True)
class Decision:
    """One place in forward: where it stands, and whether it asks yes or no (or for a number)."""

    line: str
    yes_or_no: bool


class Settled(TorchFunctionMode):
    """Gives each of these lines the answer that it is to get, whatever the tensors say.

    Raises RuntimeError where forward asks for ever.
    """

    def __init__(self, answers: Mapping[str, bool]) -> None:
        super().__init__()
        self._answers = answers
        self._asked = 0

    def __repr__(self) -> str:
        return f"<Settled {dict(self._answers)}>"

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _TRUTHS:
            line = _line(sys._getframe(1))
            if line is not None and line in self._answers:
                self._asked += 1
                if self._asked > _OFTEN:
                    raise RuntimeError(f"{line} goes on without end")
                return self._answers[line]
        return func(*args, **(kwargs or {}))


class Decisions(TorchFunctionMode):
    """Notes every decision by what depends on the watched tensors; `twist` gets another answer:
    the opposite, or `number`.

    `answers` has every answer that was given at a line, also by what depends on no input;
    `compared` the numbers that tensors were compared with (NaN where it was asked for).
    """

    def __init__(self, twist: Decision | None = None, number: float | None = None) -> None:
        super().__init__()
        self.found: dict[Decision, None] = {}
        self.answers: dict[str, set[bool]] = {}
        self.compared: set[float] = set()
        self._twist = twist
        self._number = number
        self._dependent: dict[int, torch.Tensor] = {}  # held, so that no id is used twice

    def __repr__(self) -> str:
        return f"<Decisions found={len(self.found)}>"

    def watch(self, value: Any) -> Any:
        """From here on every tensor in `value` counts as made from the inputs."""
        for each in _tensors(value):
            self._dependent[id(each)] = each
        return value

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = (args, kwargs or {})
        if not any(id(each) in self._dependent for each in _tensors(given)):
            result = func(*args, **(kwargs or {}))
            if func in _TRUTHS:
                self._note(_line(sys._getframe(1)), result)
            return result
        if func is _Tensor.__iter__:
            return iter(self.watch(args[0].unbind(0)))
        result = func(*args, **(kwargs or {}))
        if func in _TRUTHS or func in _NUMBERS:
            return self._decide(func in _TRUTHS, result)
        if func.__name__.strip("_") in _COMPARE:
            others = [each for each in args if id(each) not in self._dependent]
            self.compared |= set(_numbers(others)) or {float("nan")}
        if func.__name__ == "__setitem__" or func.__name__.endswith("_"):
            self.watch(args[0])
        return self.watch(result)

    def _decide(self, yes_or_no: bool, result: Any) -> Any:
        line = _line(sys._getframe(2))
        if line is None:
            return result
        decision = Decision(line, yes_or_no)
        self.found[decision] = None
        if yes_or_no:
            self._note(line, result)
        return _other(result, self._number) if decision == self._twist else result

    def _note(self, line: str | None, result: bool) -> None:
        if line is not None:
            self.answers.setdefault(line, set()).add(result)


def _numbers(values: Iterable[Any]) -> Iterator[float]:
    for each in values:
        if (isinstance(each, torch.Tensor) and each.numel() == 1) or isinstance(each, (int, float)):
            yield float(each)


def _other(result: Any, number: float | None) -> Any:
    if isinstance(result, (list, tuple)):
        return type(result)(_other(each, number) for each in result)
    if isinstance(result, bool):
        return not result
    if number is None:
        return result * 2 + 1
    return number if isinstance(result, float) else int(max(min(number, _FAR), -_FAR))


def _line(frame: FrameType | None) -> str | None:
    """The line that asked, as `file:line: code`; None where torch asks itself."""
    while frame is not None and frame.f_code.co_filename in _BETWEEN:
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_TORCH):
        return None
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} ({frame.f_code.co_name})"


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return iter(flatten(tree, "").values())
