"""What a foreign model is to the importer: tensors in by name, tensors out by name."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.options import Options, Stated
from carousel.export.programs.runtime import Tensors
from carousel.export.reading.names import may_be_state, pair_by_name
from carousel.models.manifest import ProgramKind
from carousel.models.spec import Dtype, ModelSpec

_MOST_NUMBERS = 2**26  # at one time step of one row
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

    @property
    def is_integer(self) -> bool:
        """Whether its values are whole numbers."""
        return self.dtype.startswith(("int", "uint"))

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


def check_ports(ports: Sequence[Port], options: Options) -> None:
    """Raise ExportRefused for inputs that cannot be given; then as `_check_ranges`."""
    if not ports:
        raise ExportRefused("the model has no input", "export it with what clients send as input")
    for port in ports:
        if 0 in port.axes:
            raise ExportRefused(
                f"axis {port.axes.index(0)} of {port.name} is 0 long, so that nothing is in it",
                "export it with another size, or with the axis open",
            )
        count = math.prod(axis for axis in port.axes if isinstance(axis, int))
        if count > _MOST_NUMBERS:
            raise ExportRefused(
                f"one row of {port.name} is {count} numbers, more than memory holds of a batch",
                "export it with smaller axes",
            )
    _check_ranges(ports, options)


def _check_ranges(ports: Sequence[Port], options: Options) -> None:
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


def check_defaults(names: Sequence[str], outputs: Sequence[str], options: Options) -> None:
    """Raise ExportRefused for a state among the inputs that have a value: nobody would give it.

    `names` are inputs of an ONNX file that need not be given. Older exporters list every weight as
    such an input; a state is one that a flag names, or whose name an output has as well.
    """
    paired = pair_by_name({name: outputs for name in names if may_be_state(name)})
    said = {name for _, flagged in options.named() for name in flagged}
    for name in names:
        if name in said or name in paired:
            raise ExportRefused(
                f"the input {name} has a value inside the file, which every run would start from",
                f"take {name} out of the file's initializers, so that it is an input as others are",
            )


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
    lengths: str | None  # the input that is told each row's time steps, which no client sends
    both_ways: set[str]  # states, if they are any, that a bidirectional layer starts from
    wired: Mapping[str, str]  # where one recurrent layer starts and ends, if they are any
    counting: dict[str, int | None]  # such inputs that clients send, and the steps if fixed
    sized: Mapping[str, Sequence[int]]  # places of axes that flags give a size, and the file none
    may_end: bool  # whether some runs would end the process, were no guards in what is served

    def run(self, values: Tensors) -> Tensors:
        """One run; raises what the runtime raises."""

    def exact(self, values: Tensors) -> Tensors | None:
        """The same in float64; None where it cannot be run so."""

    def keeps_state(self) -> ExportRefused | None:
        """The refusal of a model whose runs depend on those before, where the file shows why."""

    def vocabulary(self, name: str) -> int | None:
        """How many ids an integer input may take, where it only looks up a table."""

    def identity(self, spec: ModelSpec) -> str:
        """What a saved state fits: a hash of the weights and the states' spec."""

    def served(self, spec: ModelSpec) -> bytes:
        """The program as it will be served: its inputs, its outputs and states as in `spec`."""
