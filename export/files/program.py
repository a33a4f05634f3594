"""What a foreign model is to the importer: tensors in by name, tensors out by name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.options import Options, Stated
from carousel.export.programs.runtime import Tensors
from carousel.models.manifest import ProgramKind
from carousel.models.spec import Dtype, ModelSpec

OPEN = "?"  # what the name of an axis begins with whose size the file leaves open


@dataclass(frozen=True, slots=True)
class Port:
    """One input: sizes, the words `batch` and `time`, and names of the axes that are left open.

    `fold` is how many rows of `batch` belong to one session, 0 where that is not known.
    """

    name: str
    dtype: Dtype
    axes: tuple[int | str, ...]
    fold: int = 1

    @property
    def open_axes(self) -> tuple[str, ...]:
        """Names of the axes that nothing has settled yet."""
        return tuple(each for each in self.axes if isinstance(each, str) and each[:1] == OPEN)

    def stated(self, stated: Stated) -> "Port":
        """The port as the caller says it is; raises InvalidRequest where the file contradicts."""
        if stated.dtype != self.dtype:
            raise InvalidRequest(f"--input: {self.name} is {self.dtype}, not {stated.dtype}")
        if len(stated.axes) != len(self.axes):
            raise InvalidRequest(
                f"--input: {self.name} has {len(self.axes)} axes {self.axes}, not "
                f"{len(stated.axes)}"
            )
        for own, said in zip(self.axes, stated.axes, strict=True):
            if isinstance(own, int) and isinstance(said, int) and own != said:
                raise InvalidRequest(
                    f"--input: {self.name} is {self.axes} in the file, not {stated.axes}"
                )
            if isinstance(own, int) and isinstance(said, str):
                raise InvalidRequest(
                    f"--input: an axis of {self.name} is fixed at {own} in the file, so that it "
                    f"cannot be {said!r}"
                )
        return replace(self, axes=stated.axes, fold=stated.fold)


def check_ranges(ports: Sequence[Port], options: Options) -> None:
    """Raise InvalidRequest for a range of what clients do not send, or send as no integers."""
    dtypes = {each.name: each.dtype for each in ports}
    for name, (low, high) in options.ranges.items():
        if name in {*options.constants, *options.pairs, *options.fixed}:
            raise InvalidRequest(f"--range: {name} is no input that clients send")
        if not dtypes[name].startswith(("int", "uint")):
            raise InvalidRequest(f"--range: {name} is {dtypes[name]}, and a range is of integers")
        info = torch.iinfo(getattr(torch, dtypes[name]))
        if not info.min <= low <= high <= info.max:
            raise InvalidRequest(f"--range: {name} is {dtypes[name]}, which {low}..{high} is not")


def constants(spec: ModelSpec) -> str:
    """The inputs that clients never send, as text: states of other constants are other states."""
    found = {each.name: each.constant for each in spec.inputs if each.constant is not None}
    return f"\n{json.dumps(found, sort_keys=True)}" if found else ""


class Program(Protocol):
    """A loaded foreign model. Constants are inputs as all others here."""

    kind: ProgramKind
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...]
    num_bytes: int
    tools: Mapping[str, str]

    def run(self, values: Tensors) -> Tensors:
        """One run; raises what the runtime raises."""

    def keeps_state(self) -> ExportRefused | None:
        """The refusal of a model whose runs depend on those before, where the file shows why."""

    def vocabulary(self, name: str) -> int | None:
        """How many ids an integer input may take, where it only looks up a table."""

    def identity(self, spec: ModelSpec) -> str:
        """What a saved state fits: a hash of the weights and the states' spec."""

    def served(self, spec: ModelSpec) -> bytes:
        """The program as it will be served: its inputs, its outputs and states as in `spec`."""
