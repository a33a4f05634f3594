"""A program that has yet to show what it is worth."""

from dataclasses import dataclass, field

from carousel.export.measured.seldom import Seldom
from carousel.export.measured.stepper import Stepper
from carousel.models.manifest import ProgramKind, Ragged


@dataclass(slots=True)
class Candidate:
    """A program's bytes, and the same loaded again as a server would; `seldom` is how its trace
    answers what seldom happens, where that can be told.
    """

    kind: ProgramKind
    data: bytes
    stepper: Stepper = field(repr=False)
    seldom: Seldom | None = field(repr=False, default=None)
    ragged: Ragged = "equal_length"

    @property
    def lengths(self) -> str | None:
        """What the program calls the lengths of its rows, if it takes any."""
        return self.stepper.lengths
