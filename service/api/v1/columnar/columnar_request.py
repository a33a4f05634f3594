"""`ColumnReader`: from what a request says, in whichever encoding, to columns that can be run."""

from collections.abc import Callable
from dataclasses import dataclass

from carousel.service.api.encoding.codec import Codec, Codecs
from carousel.service.api.encoding.column_inputs import ColumnArrays
from carousel.service.api.encoding.column_tensor import Rows
from carousel.service.api.v1.columnar.asked import (
    Asked,
    ColumnLimits,
    read_head,
    read_lengths,
    read_positions,
    refuse_ids,
)
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import ShapeMismatch
from carousel.service.sessions.columns import Columns
from carousel.service.sessions.session_opener import require_streamable


@dataclass(slots=True)
class ColumnarRequest:
    """Columns to run. `squeezed`: what is answered has no axis of time."""

    columns: Columns
    codec: Codec
    squeezed: bool


class ColumnReader:
    """Reads requests of columns; raises for those that are at fault as a whole."""

    def __init__(self, catalog: Catalog, codecs: Codecs, limits: ColumnLimits) -> None:
        self.catalog = catalog
        self.codecs = codecs
        self.limits = limits

    def __repr__(self) -> str:
        return f"<ColumnReader {self.limits}>"

    def read(
        self,
        asked: Asked,
        deadline: float,
        read_arrays: Callable[[Codec, Rows], ColumnArrays],
        refuse: Callable[[LoadedModel], None] = lambda loaded: None,
    ) -> ColumnarRequest:
        """The request; `read_arrays` is asked for its inputs once the model is known, and `refuse`
        raises for a model that an encoding cannot say.

        Raises InvalidRequest and its subclasses, ModelNotFound, NotStreamable.
        """
        head = read_head(asked, self.limits)
        loaded = self.catalog.get(head.model, head.version)
        require_streamable(loaded)
        refuse(loaded)
        codec = self.codecs.of(loaded)
        count = len(asked.session_ids)
        rows = Rows(count, read_lengths(asked.lengths, count, self.limits.max_steps))
        if head.open:
            refuse_ids(asked.session_ids, rows)
        positions = read_positions(asked.positions, rows)
        arrays = read_arrays(codec, rows)
        if arrays.squeezed and any(each.num_steps(1) != 1 for each in loaded.spec.outputs):
            raise ShapeMismatch(
                f"inputs: no time axis given; {loaded.name} has another number of outputs than "
                "time steps, so send [rows][time]"
            )
        columns = Columns(
            model=loaded,
            session_ids=asked.session_ids,
            inputs=arrays.inputs,
            num_steps=arrays.num_steps,
            lengths=rows.lengths,
            positions=positions,
            open=head.open,
            ttl_s=head.ttl_s,
            deadline=deadline,
            faults=rows.faults,
        )
        return ColumnarRequest(columns, codec, arrays.squeezed)
