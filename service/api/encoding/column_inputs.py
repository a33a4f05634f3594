"""The inputs of many rows of a model, each an array for all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.api.encoding.column_tensor import ColumnTensor, Rows
from carousel.service.api.encoding.explain import kind_of
from carousel.service.api.encoding.inputs import InputSequence, StepRules, input_tensors
from carousel.service.api.encoding.tensor import Entry
from carousel.service.errors import InvalidRequest, SequenceTooLong, ShapeMismatch


@dataclass(slots=True)
class ColumnArrays:
    """Inputs by name, in wire layout with the rows in front; T time steps each where they are not
    packed. `squeezed`: they came without an axis of time, and so goes what is answered.
    """

    inputs: dict[str, Array]
    num_steps: int
    squeezed: bool


class ColumnInputs:
    """Reads what a client sends for many rows."""

    def __init__(self, spec: ModelSpec, *, max_steps: int) -> None:
        tensors = input_tensors(spec, max_steps)
        self._tensors = {name: ColumnTensor(each) for name, each in tensors.items()}
        self._rules = StepRules(spec)
        self._single = next(iter(self._tensors)) if len(self._tensors) == 1 else None
        self._ndim = {each.name: 1 + len(spec.wire_shape(each)) for each in spec.sent_inputs}
        # Where outputs and time steps do not go one by one, packed outputs would be no row's.
        self._uneven = next(
            (each.name for each in spec.outputs if (each.stride, each.offset) != (None, None)), None
        )

    def __repr__(self) -> str:
        return f"<ColumnInputs {', '.join(self._tensors)}>"

    def read_json(self, value: Any, rows: Rows, *, bools: bool, max_steps: int) -> ColumnArrays:
        """The inputs of a JSON value: an array, or an object of arrays by input name.

        Faults of single rows go into `rows`; raises InvalidRequest and its subclasses for others.
        """
        self._check_packed(rows, max_steps)
        if self._single is not None and type(value) is not dict:
            tensor = self._tensors[self._single]
            arrays = {self._single: tensor.read_json(value, rows, "inputs", bools=bools)}
            return self._arrays(arrays, rows, max_steps)
        if type(value) is not dict:
            raise InvalidRequest(
                f"inputs: {kind_of(value)} given; expected an object of {', '.join(self._tensors)}"
            )
        self._check_names(value, "inputs.")
        arrays = {
            name: each.read_json(value[name], rows, f"inputs.{name}", bools=bools)
            for name, each in self._tensors.items()
        }
        return self._arrays(arrays, rows, max_steps)

    def read_tensors(
        self, entries: Mapping[str, Entry], rows: Rows, *, max_steps: int
    ) -> ColumnArrays:
        """The inputs among the tensors of a safetensors body, which holds nothing else. Raises as
        `read_json`.
        """
        self._check_packed(rows, max_steps)
        self._check_names(entries, "the body: ")
        arrays = {
            name: each.read_entry(entries[name], rows, name) for name, each in self._tensors.items()
        }
        return self._arrays(arrays, rows, max_steps)

    def _check_names(self, given: Mapping[str, Any], where: str) -> None:
        expected = f"expected {', '.join(self._tensors)}"
        for name in given:
            if name not in self._tensors:
                raise InvalidRequest(f"{where}{name}: no such input; {expected}")
        for name in self._tensors:
            if name not in given:
                raise InvalidRequest(f"{where}{name}: nothing given; {expected}")

    def _check_packed(self, rows: Rows, max_steps: int) -> None:
        if rows.lengths is None:
            return
        if self._uneven is not None:
            raise InvalidRequest(
                f"lengths: given for a model whose output {self._uneven} has another number of "
                "time steps than its inputs; send rows of one length, without lengths"
            )
        if not any(each.has_time for each in self._tensors.values()):
            raise InvalidRequest("lengths: given for a model none of whose inputs has time steps")
        for row in np.flatnonzero(rows.lengths == 0).tolist():
            rows.refuse(row, ShapeMismatch(f"lengths[{row}]: no time step given"))
        _check_total(rows.num_events, max_steps)

    def _arrays(self, arrays: dict[str, Array], rows: Rows, max_steps: int) -> ColumnArrays:
        timed = {name: each for name, each in arrays.items() if self._tensors[name].has_time}
        if rows.lengths is not None:
            self._check_rules(arrays, rows, 0)
            return ColumnArrays(arrays, 0, squeezed=False)
        bare = [name for name, each in timed.items() if each.ndim < self._ndim[name]]
        if bare and len(bare) < len(timed):
            raise ShapeMismatch(
                f"inputs: {bare[0]} has no time axis and others have one; expected all or none"
            )
        for name in bare:
            arrays[name] = arrays[name][:, np.newaxis]
        steps = {name: arrays[name].shape[1] for name in timed}
        if len(set(steps.values())) > 1:
            raise ShapeMismatch(f"inputs: time steps {steps} given; expected one number of them")
        num_steps = next(iter(steps.values()), 1)
        _check_total(num_steps * rows.count, max_steps)
        self._check_rules(arrays, rows, num_steps)
        return ColumnArrays(arrays, num_steps, squeezed=bool(bare) or not timed)

    def _check_rules(self, arrays: Mapping[str, Array], rows: Rows, num_steps: int) -> None:
        """Refuse the rows that the model takes none of so short, so long or so counted."""
        rules = self._rules
        if rules.is_free:
            return
        if rows.lengths is None and not rules.counting:
            rules.check(InputSequence({}, num_steps), "inputs")
            return
        lengths = np.full(rows.count, num_steps) if rows.lengths is None else rows.lengths
        ends = np.cumsum(lengths)
        for row, length in enumerate(lengths.tolist()):
            counts: dict[str, Array] = {}
            for name in rules.counting:
                packed = self._tensors[name].is_packed(rows)
                place = slice(ends[row] - length, ends[row]) if packed else row
                counts[name] = arrays[name][place]
            try:
                rules.check(InputSequence(counts, length), f"inputs[{row}]")
            except InvalidRequest as error:
                rows.refuse(row, error)


def _check_total(num_steps: int, max_steps: int) -> None:
    if num_steps > max_steps:
        raise SequenceTooLong(
            f"inputs: {num_steps} time steps given; a request may have {max_steps}"
        )
