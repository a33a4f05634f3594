"""Steps of many sessions of one model as columns: an array for all rows in place of an object each.

Row i is a step of the session `session_ids[i]`. Letters: B rows, T time steps of each, N time steps
of all together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import EllipsisType

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array
from carousel.models.spec import TIME, ModelSpec, TensorSpec
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import CarouselError, forget_frames

Int64s = npt.NDArray[np.int64]
Int16s = npt.NDArray[np.int16]
Bools = npt.NDArray[np.bool_]

# In a column of positions: the row names none; there is no session, or it was not looked at.
NO_POSITION = -1


@dataclass(slots=True)
class Columns:
    """What a request asks of B sessions, each named once.

    `inputs`: wire layout, (B, T, F...) each; packed, (N, F...), where `lengths` (B,) says how many
    time steps each row has; (B, F...) for an input without a time axis. `positions`: (B,), or None
    where no row names one. `open`: a row that names none or 0 starts its session where there is
    none, to live for `ttl_s`. `deadline`: monotonic seconds. `faults`: the rows that are refused
    already; what stands there in the columns means nothing.
    """

    model: LoadedModel
    session_ids: list[str]
    inputs: dict[str, Array]
    num_steps: int
    lengths: Int64s | None
    positions: Int64s | None
    open: bool
    ttl_s: float | None
    deadline: float
    faults: dict[int, CarouselError] = field(default_factory=dict)
    # Where each row of packed columns begins, (B,).
    _starts: Int64s = field(init=False)

    def __post_init__(self) -> None:
        if self.lengths is not None:
            self._starts = np.cumsum(self.lengths) - self.lengths

    @property
    def num_rows(self) -> int:
        """How many sessions there are."""
        return len(self.session_ids)

    @property
    def total_steps(self) -> int:
        """The time steps of all rows together."""
        if self.lengths is None:
            return self.num_rows * self.num_steps
        return int(self.lengths.sum())

    def steps_of(self, row: int) -> int:
        """How many time steps a row has."""
        return self.num_steps if self.lengths is None else int(self.lengths[row])

    def position_of(self, row: int) -> int | None:
        """The position that a row names."""
        if self.positions is None or self.positions[row] == NO_POSITION:
            return None
        return int(self.positions[row])

    def wanted(self, rows: Sequence[int]) -> tuple[Sequence[int], list[int], list[int]]:
        """Of some rows: themselves, the positions that they name, and how many time steps each
        has.
        """
        num = len(rows)
        places = np.asarray(rows, np.int64)
        positions = self.positions
        lengths = self.lengths
        return (
            rows,
            [NO_POSITION] * num if positions is None else positions[places].tolist(),
            [self.num_steps] * num if lengths is None else lengths[places].tolist(),
        )

    def place(self, tensor: TensorSpec, row: int) -> slice | tuple[int, EllipsisType]:
        """Where a row stands in a column; of a single number an array comes of it too."""
        if self.lengths is None or not self.is_timed(tensor):
            return row, ...
        start = int(self._starts[row])
        return slice(start, start + int(self.lengths[row]))

    def places(self, tensor: TensorSpec, rows: Sequence[int]) -> slice | Int64s:
        """Where rows of equal length stand: as an index it gives them stacked, (R, T, ...)."""
        if self.lengths is not None and self.is_timed(tensor):
            steps = np.arange(self.lengths[rows[0]])
            found: Int64s = self._starts[rows][:, np.newaxis] + steps  # (R, T)
            return found
        if rows[-1] - rows[0] == len(rows) - 1:
            return slice(rows[0], rows[-1] + 1)  # a view
        return np.array(rows, np.int64)

    def is_timed(self, tensor: TensorSpec) -> bool:
        """Whether an input or output has a value for every time step."""
        return TIME in self.model.spec.wire_shape(tensor)


@dataclass(slots=True)
class ColumnReplies:
    """What became of the rows. `outputs`: as the inputs, zeros in rows at fault. `positions`: (B,),
    where each session stands, as far as that is known. `status`: (B,), 200 or the error's.
    `replayed`, `opened`: (B,). `errors`, by row: what is no CarouselError is a defect of ours.
    """

    outputs: dict[str, Array]
    positions: Int64s
    status: Int16s
    replayed: Bools
    opened: Bools
    errors: dict[int, Exception]

    @classmethod
    def of(cls, columns: Columns) -> "ColumnReplies":
        """Before anything has run: zeros, and the faults that are known."""
        rows = columns.num_rows
        found = cls(
            outputs=_zeros(columns, columns.model.spec),
            positions=np.full(rows, NO_POSITION, np.int64),
            status=np.full(rows, 200, np.int16),
            replayed=np.zeros(rows, np.bool_),
            opened=np.zeros(rows, np.bool_),
            errors={},
        )
        for row, fault in columns.faults.items():
            found.refuse(row, fault)
        return found

    def refuse(self, row: int, error: Exception) -> None:
        """The row is at fault. The error of a conflict says where the session stands."""
        if isinstance(error, CarouselError):
            # Until the answer is told, thousands of errors would hold what they came through.
            forget_frames(error)
        self.errors[row] = error
        self.status[row] = error.status if isinstance(error, CarouselError) else 500
        position = error.fields.get("position") if isinstance(error, CarouselError) else None
        if isinstance(position, int):
            self.positions[row] = position


def _zeros(columns: Columns, spec: ModelSpec) -> dict[str, Array]:
    rows = columns.num_rows
    found: dict[str, Array] = {}
    for each in spec.outputs:
        if not columns.is_timed(each):
            sizes: tuple[int, ...] = (rows,)
        elif columns.lengths is None:
            sizes = (rows, each.num_steps(columns.num_steps))
        else:
            sizes = (columns.total_steps,)
        found[each.name] = np.zeros((*sizes, *each.row_shape), each.dtype)
    return found
