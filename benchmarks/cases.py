"""What is measured: model sizes, numbers of sessions, encodings; and what each session sends."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Encoding = Literal["json", "binary"]
Floats = npt.NDArray[np.float32]

SESSIONS = (1, 32, 128)
# Each session sends these many different inputs over and over, so that a lost, doubled or misplaced
# step shows in its outputs.
NUM_INPUTS = 8
SEED = 7


@dataclass(frozen=True, slots=True)
class Size:
    """An nn.LSTM(input_size, hidden_size, num_layers)."""

    name: str
    input_size: int
    hidden_size: int
    num_layers: int

    @property
    def model(self) -> str:
        """The model's name in the repository."""
        return f"lstm-{self.input_size}-{self.hidden_size}-{self.num_layers}"


SMALL = Size("small", 10, 20, 2)
MEDIUM = Size("medium", 256, 512, 2)
SIZES = (SMALL, MEDIUM)


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table: `sessions` clients, each waiting for its reply before its next step."""

    size: Size
    sessions: int
    encoding: Encoding

    def __str__(self) -> str:
        return f"{self.size.name}, {self.sessions} sessions, {self.encoding}"

    def inputs(self) -> Floats:
        """What the sessions send: (sessions, NUM_INPUTS, F)."""
        shape = (self.sessions, NUM_INPUTS, self.size.input_size)
        return np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32)


def all_cases() -> tuple[Case, ...]:
    """Every size at every number of sessions in both encodings."""
    encodings: tuple[Encoding, ...] = ("json", "binary")
    return tuple(
        Case(size, sessions, encoding)
        for size in SIZES
        for sessions in SESSIONS
        for encoding in encodings
    )


def quick_cases() -> tuple[Case, ...]:
    """The cases that the figures need, and no other."""
    return (
        Case(SMALL, 1, "json"),
        Case(SMALL, 128, "json"),
        Case(SMALL, 128, "binary"),
        Case(MEDIUM, 32, "binary"),
    )
