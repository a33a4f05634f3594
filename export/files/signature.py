"""What a TorchScript forward takes and returns: tensors by name, and the code that fills them in.

A tensor inside a tuple or list is `name.0`; what is returned is `output`, or `output_0` and so on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.options import Stated, Value
from carousel.models.spec import Dtype

_SCALARS: Mapping[str, Dtype] = {
    "IntType": "int64",
    "FloatType": "float64",
    "BoolType": "bool",
    "NumberType": "float64",
}
_CASTS = {"int64": "int", "float64": "float", "bool": "bool"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: the tensors and numbers in it, each as (name, dtype of a number or None)."""

    name: str
    leaves: tuple[tuple[str, Dtype | None], ...]
    kind: str
    has_default: bool

    def code(self, place: Mapping[str, str]) -> str:
        """The argument, made of the variables that `place` names."""
        parts = [
            place[name] if dtype is None else f"{_CASTS[dtype]}({place[name]})"
            for name, dtype in self.leaves
        ]
        if self.kind == "TupleType":
            return f"({', '.join(parts)},)"
        return f"[{', '.join(parts)}]" if self.kind == "ListType" else parts[0]


def forward_of(module: torch.nn.Module) -> Any:
    """The scripted forward, of which torch's annotations know nothing."""
    return module.forward


def parameters(
    module: torch.jit.ScriptModule,
    shapes: Mapping[str, Stated],
    constants: Mapping[str, Value],
) -> list[Parameter]:
    """The parameters of forward that are given; those with a default may be left to it."""
    found: list[Parameter] = []
    named = {*shapes, *constants}
    for each in forward_of(module).schema.arguments[1:]:
        has_default = each.has_default_value()
        asked = any(name == each.name or name.startswith(f"{each.name}.") for name in named)
        if has_default and not asked:
            continue  # of whatever type it is
        kind = _without_optional(each.type)
        leaves = tuple(_leaves(each.name, kind, named))
        if not leaves:
            raise InvalidRequest(
                f"forward's {each.name} is {kind}: name what is in it, {each.name}.0, "
                f"{each.name}.1 and so on, as in --input {each.name}.0:DTYPE:AXES"
            )
        found.append(Parameter(each.name, leaves, kind.kind(), has_default))
    return found


def defaults(module: torch.jit.ScriptModule) -> dict[str, bool]:
    """The parameters that have a default, and whether each is made of tensors."""
    return {
        each.name: "Tensor" in str(_without_optional(each.type))
        for each in forward_of(module).schema.arguments[1:]
        if each.has_default_value()
    }


def _without_optional(kind: Any) -> Any:
    return kind.getElementType() if kind.kind() == "OptionalType" else kind


def results(module: torch.jit.ScriptModule) -> dict[str, str]:
    """The tensors that forward returns, by name, each with the code that takes it out of `r`."""
    (returned,) = forward_of(module).schema.returns
    found = dict(_results("output", "r", returned.type))
    if not found:
        raise ExportRefused("forward returns no tensor", "return the outputs as tensors")
    return found


def _leaves(name: str, kind: Any, named: set[str]) -> Iterator[tuple[str, Dtype | None]]:
    if kind.kind() == "TensorType":
        yield name, None
    elif kind.kind() in _SCALARS:
        yield name, _SCALARS[kind.kind()]
    elif kind.kind() == "TupleType":
        for index, element in enumerate(kind.elements()):
            yield from _plain(f"{name}.{index}", element)
    elif kind.kind() == "ListType":
        count = sum(each.startswith(f"{name}.") for each in named)
        for index in range(count):
            yield from _plain(f"{name}.{index}", kind.getElementType())
    else:
        yield from _plain(name, kind)


def _plain(name: str, kind: Any) -> Iterator[tuple[str, Dtype | None]]:
    """A tensor or a number within a parameter."""
    if kind.kind() == "TensorType":
        yield name, None
    elif kind.kind() in _SCALARS:
        yield name, _SCALARS[kind.kind()]
    else:
        raise ExportRefused(
            f"forward's {name} is {kind}, which is neither a tensor nor a number",
            "wrap the module in one whose forward takes tensors, and script that",
        )


def _results(name: str, code: str, kind: Any) -> Iterator[tuple[str, str]]:
    if kind.kind() == "TensorType":
        yield name, code
    elif kind.kind() == "TupleType":
        for index, element in enumerate(kind.elements()):
            yield from _results(f"{name}_{index}", f"{code}[{index}]", element)
    else:
        raise ExportRefused(
            f"forward returns {kind} as {name}, which is neither a tensor nor a tuple of tensors",
            "wrap the module in one whose forward returns a tuple of tensors, and script that",
        )
