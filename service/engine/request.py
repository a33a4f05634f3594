"""One request to a model: a sequence, the slot it starts from and the fresh slot it fills."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carousel.models.row import Array

if TYPE_CHECKING:
    from asyncio import Future

NO_SLOT = -1


class Abandoned(Exception):
    """The client went away before the request ran; nobody is there to be told."""


@dataclass(slots=True, eq=False)
class Request:
    """A sequence on its way through the engine, atomic: all of its time steps count or none.

    Made and finished on the event loop; between the two it belongs to the engine's thread, save for
    `abandoned`, which the loop may set at any time.

    `inputs`: wire layout, (T, F...) each, or (F...) for an input without a time axis.
    `state`: the row to start from where there is no `source` slot; None means initial values.
    `commits`: whether the new state is committed; `ticket` is the caller's own, for commit and
    `on_done`.
    """

    inputs: dict[str, Array]
    num_steps: int
    deadline: float
    state: bytes | None = None
    source: int = NO_SLOT
    target: int = NO_SLOT
    commits: bool = False
    ticket: object | None = None
    wants_state: bool = False
    nbytes: int = 0
    on_done: "Callable[[Request], None] | None" = None
    future: "Future[Request] | None" = None
    abandoned: bool = False

    done_steps: int = 0
    pieces: list[dict[str, Array]] | None = None
    outputs: dict[str, Array] = field(default_factory=dict)
    state_out: bytes | None = None
    error: Exception | None = None

    @property
    def num_rows(self) -> int:
        """How many sessions it is of."""
        return 1

    @property
    def is_step(self) -> bool:
        """Whether it is a single step of a session, which somebody waits for just now."""
        return self.num_steps == 1 and self.ticket is not None and self.num_rows == 1

    @property
    def remaining(self) -> int:
        """Time steps that have not run yet."""
        return self.num_steps - self.done_steps

    def __repr__(self) -> str:
        return f"<Request steps={self.done_steps}/{self.num_steps} {self.source}->{self.target}>"
