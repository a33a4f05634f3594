"""How `forward` is called: its parameters, and the example as a tree of named tensors."""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.module.tree import Tree, fill, flatten, holds_packed, opaque


@dataclass(frozen=True, slots=True)
class Call:
    """Positional and keyword arguments of one call of `forward`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _parameters(forward: Any) -> inspect.Signature:
    """What forward takes; of TorchScript without Python code what its schema says."""
    if not isinstance(forward, torch.ScriptMethod) or hasattr(forward, "__wrapped__"):
        return inspect.signature(forward)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    schema: Any = forward.schema
    return inspect.Signature(
        [
            inspect.Parameter(
                each.name,
                kind,
                default=each.default_value if each.has_default_value() else inspect.Parameter.empty,
            )
            for each in schema.arguments[1:]
        ]
    )


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of `forward` that an export feeds, each with its example."""

    parameters: inspect.Signature
    trees: Mapping[str, Tree]

    @classmethod
    def of(cls, module: nn.Module, example: object) -> "Signature":
        """Bind `example` (a tuple, a lone tensor, or a mapping of keywords) to `forward`.

        Raises InvalidRequest where the example does not fit.
        """
        parameters = _parameters(module.forward)
        try:
            if isinstance(example, Mapping):
                bound = parameters.bind(**example)
            elif isinstance(example, (tuple, list)):
                bound = parameters.bind(*example)
            else:
                bound = parameters.bind(example)
        except TypeError as error:
            raise InvalidRequest(
                f"example_inputs do not fit {type(module).__name__}.forward{parameters}: {error}"
            ) from None
        signature = cls(parameters, dict(bound.arguments))
        if any(map(holds_packed, signature.trees.values())):
            raise ExportRefused(
                "forward takes a PackedSequence, which has no batch axis",
                "take the padded tensor and the lengths, and pack inside forward",
            )
        for name, tensor in signature.tensors().items():
            if tensor.is_complex():
                raise ExportRefused(
                    f"{name!r} holds complex numbers, which clients do not send",
                    "take a real tensor with one more axis of two, and begin forward with "
                    "torch.view_as_complex",
                )
        for name, tree in signature.trees.items():
            hidden = opaque(tree, name)
            if hidden is not None:
                raise ExportRefused(
                    f"the parameter {name!r} of forward holds {_what(*hidden)}, which a program "
                    "would keep as it is in the example",
                    "give tensors, alone or in tuples, lists, dicts, named tuples and dataclasses",
                )
        if not signature.tensors():
            raise InvalidRequest("example_inputs hold no tensor: give the tuple that forward takes")
        return signature

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the example by its name, in the order of the parameters."""
        found: dict[str, torch.Tensor] = {}
        for name, tree in self.trees.items():
            found.update(flatten(tree, name))
        return found

    def leaves(self, parameter: str) -> tuple[str, ...]:
        """Names of the tensors of one parameter."""
        return tuple(flatten(self.trees[parameter], parameter))

    def optional(self) -> tuple[str, ...]:
        """Parameters that may be left out because their default is None."""
        return tuple(
            name for name, each in self.parameters.parameters.items() if each.default is None
        )

    def absent(self) -> tuple[str, ...]:
        """Optional parameters that the example leaves out or gives as None."""
        return tuple(name for name in self.optional() if self.trees.get(name) is None)

    def having(self, trees: Mapping[str, Tree]) -> "Signature":
        """The signature with examples for further parameters, in the order of `forward`."""
        merged = {**self.trees, **trees}
        ordered = {name: merged[name] for name in self.parameters.parameters if name in merged}
        return replace(self, trees=ordered)

    def call(self, values: Mapping[str, torch.Tensor], omit: Collection[str] = ()) -> Call:
        """The arguments with every tensor taken from `values`; parameters in `omit` are None."""
        arguments = {
            name: None if name in omit else fill(tree, name, values)
            for name, tree in self.trees.items()
        }
        bound = inspect.BoundArguments(self.parameters, arguments)
        bound.apply_defaults()
        return Call(bound.args, bound.kwargs)


def _what(place: str, value: object) -> str:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    listed = " of numbers" if isinstance(value, (tuple, list)) else ""
    return f"a {module}{kind.__qualname__}{listed} at {place!r}"
