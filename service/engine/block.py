"""Steps of many sessions as one request: an array for all of them in place of an object each."""

from dataclasses import dataclass, field

import numpy as np

from carousel.models.row import Array
from carousel.service.backends.base import ByteRows
from carousel.service.engine.request import Request


@dataclass(slots=True, eq=False)
class Block(Request):
    """B rows of as many time steps each, no more than one run may have. They run together and end
    together, each with an outcome of its own.

    `inputs`: (B, T, F...) each, or (B, F...) for an input without a time axis; `outputs` likewise.
    `sources`, `targets`: (B,); where a source is NO_SLOT the row starts from its place in `states`.
    `states_out`: the new states, (B, N). `faults`: the rows whose error is their own; `error` is
    that of all.
    """

    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    states: list[bytes | None] = field(default_factory=list)
    states_out: ByteRows | None = None
    faults: dict[int, Exception] = field(default_factory=dict)
    # The outputs of the run that is under way, by name, once some of its rows were run apart.
    halves: dict[str, Array] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return len(self.targets)

    def refuse(self, row: int, error: Exception) -> None:
        """A row is at fault; of several faults the first is told. With all of them it is over."""
        self.faults.setdefault(row, error)
        if len(self.faults) == self.num_rows:
            self.error = error

    def keep_half(self, outputs: dict[str, Array], first: int, last: int) -> None:
        """The outputs of some rows, which ran apart; those of rows at fault stay zero."""
        for name, values in outputs.items():
            if name not in self.halves:
                self.halves[name] = np.zeros((self.num_rows, *values.shape[1:]), values.dtype)
            self.halves[name][first:last] = values

    def take_halves(self) -> dict[str, Array]:
        """What came together so."""
        halves, self.halves = self.halves, {}
        return halves

    def keep_states(self, states: ByteRows, first: int, last: int) -> None:
        """New states of some rows, (W, N)."""
        if last - first == self.num_rows:
            self.states_out = states
            return
        if self.states_out is None:
            self.states_out = np.zeros((self.num_rows, states.shape[1]), np.uint8)
        self.states_out[first:last] = states

    def __repr__(self) -> str:
        return f"<Block rows={self.num_rows} steps={self.done_steps}/{self.num_steps}>"
