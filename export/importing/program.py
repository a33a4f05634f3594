"""What a foreign model is to the importer: tensors in by name, tensors out by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from export.errors import ExportRefused, InvalidRequest
from export.importing.wishes import Stated
from export.programs import Tensors
from models.manifest import ProgramKind
from models.spec import Dtype, ModelSpec

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

    def stated(self, wish: Stated) -> "Port":
        """The port as the caller says it is; raises InvalidRequest where the file contradicts."""
        if wish.dtype != self.dtype:
            raise InvalidRequest(f"--input: {self.name} is {self.dtype}, not {wish.dtype}")
        if len(wish.axes) != len(self.axes):
            raise InvalidRequest(
                f"--input: {self.name} has {len(self.axes)} axes {self.axes}, not {len(wish.axes)}"
            )
        for own, said in zip(self.axes, wish.axes, strict=True):
            if isinstance(own, int) and isinstance(said, int) and own != said:
                raise InvalidRequest(
                    f"--input: {self.name} is {self.axes} in the file, not {wish.axes}"
                )
            if isinstance(own, int) and isinstance(said, str):
                raise InvalidRequest(
                    f"--input: an axis of {self.name} is fixed at {own} in the file, so that it "
                    f"cannot be {said!r}"
                )
        return replace(self, axes=wish.axes, fold=wish.fold)


class Program(Protocol):
    """A loaded foreign model. Constants are inputs as all others here."""

    kind: ProgramKind
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...]
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
