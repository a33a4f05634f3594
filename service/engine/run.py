"""One run of a program on its way: the rows that are in it, what goes in, and what came out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from carousel.models.row import Array
from carousel.service.backends.base import Backend, DeviceArray
from carousel.service.engine.batch import Batch
from carousel.service.engine.block import Block
from carousel.service.engine.scheduler import Row


@dataclass(slots=True, eq=False)
class Run:
    """Made and ended by the engine's thread; between the two it may be a lane's.

    `held`: the rows of the pool that it starts from, (B, N), None where the model has no state;
    `states`: what they hold, in model layout. `error`: why there are no outputs; `seconds`: how
    long the program took. A run of a block is of that alone, and of its rows from `first` to
    `last`.
    """

    rows: list[Row]
    first: int = 0
    last: int = 0
    batch: Batch | None = None
    held: DeviceArray | None = None
    states: list[DeviceArray] = field(default_factory=list)
    outputs: list[Array] = field(default_factory=list)
    new_states: list[DeviceArray] = field(default_factory=list)
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def block(self) -> Block | None:
        """The block that it is of."""
        request = self.rows[0].request
        return request if isinstance(request, Block) else None

    @property
    def num_rows(self) -> int:
        """How many rows the program is given."""
        return len(self.rows) if self.block is None else self.last - self.first

    @property
    def num_steps(self) -> int:
        """Time steps of its longest row."""
        return max(row.length for row in self.rows)

    def halves(self) -> "list[Run]":
        """Two runs of the same, each of half of the rows."""
        if self.block is None:
            middle = len(self.rows) // 2
            return [Run(self.rows[:middle]), Run(self.rows[middle:])]
        middle = (self.first + self.last) // 2
        return [Run(self.rows, self.first, middle), Run(self.rows, middle, self.last)]

    def execute(self, backend: Backend, clock: Callable[[], float]) -> None:
        """Run the program, on any thread; it does not raise."""
        if self.batch is None:
            return
        began = clock()
        try:
            self.outputs, self.new_states = backend.run(
                self.batch.inputs, self.states, self.batch.lengths
            )
        except Exception as error:
            self.error = error
        except BaseException as error:
            # It would end a lane, which nobody would notice but those that wait for the run.
            self.error = RuntimeError(f"the program ended with {error!r}")
        self.seconds = clock() - began
