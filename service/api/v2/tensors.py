"""A tensor of a request: an object with name, datatype and shape, its values in JSON or binary.

Inputs stand as `[batch, time, rest]`, so the bytes of one row stand together, and are what the rest
of the service takes for one sequence. Sizes are checked against the bytes or numbers that are there
before anything is made of them.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeGuard

import numpy as np

from carousel.models.row import Array
from carousel.models.spec import BATCH, TIME, Axis, Dtype, InputSpec, ModelSpec, StateSpec
from carousel.service.api.encoding.explain import Shape, explain, kind_of
from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.api.encoding.tensor import Tensor
from carousel.service.api.v2.binary_tensors import BinaryTensors
from carousel.service.api.v2.request import take_parameters
from carousel.service.errors import InvalidRequest, SequenceTooLong, ShapeMismatch

DATATYPES: dict[Dtype, str] = {
    "bool": "BOOL", "uint8": "UINT8", "int8": "INT8", "int16": "INT16", "int32": "INT32",
    "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
_VARIABLE = -1


# Shapes that a tensor remembers to be right.
_MAX_KNOWN = 64
_MAX_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """What a shape comes to: rows, time steps of each, and values in all."""

    rows: int
    steps: int
    count: int


@dataclass(slots=True)
class TensorData:
    """The values of a tensor, row-major and little-endian."""

    extent: Extent
    sizes: list[int]
    data: bytes


class GivenTensor:
    """Reads one tensor of requests. `row` is what one row of it must be as bytes; `fold` places
    along `batch` are one row.
    """

    def __init__(
        self, name: str, row: Shape, axes: tuple[Axis, ...], *, fold: int = 1, max_steps: int
    ) -> None:
        self.name = name
        self.axes = axes
        self.datatype = DATATYPES[row.dtype]
        self.where = f"inputs.{name}"
        self.tensor = Tensor(row, max_steps=max_steps)
        self._itemsize = self.tensor.dtype.itemsize
        self._fold = fold
        self._max_steps = max_steps
        self._known: dict[tuple[int, ...], Extent] = {}
        # numpy's letters are struct's, but for 64-bit integers; booleans have none here, since
        # struct would take anything for one.
        self._letter = np.dtype(row.dtype).char.replace("l", "q").replace("?", "")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.datatype}{shown_shape(self.axes)}>"

    def read(self, entry: dict[str, Any], binary: BinaryTensors) -> TensorData:
        """The values of an object of the request's `inputs`, binary ones taken from `binary`.

        Raises InvalidRequest and its subclasses.
        """
        if entry.get("datatype") != self.datatype:
            raise self._other_datatype(entry)
        sizes: Any = entry.get("shape")
        if not _is_shape(sizes) or len(sizes) != len(self.axes):
            raise self._other_shape(sizes)
        extent = self._known.get(tuple(sizes)) or self._measure(sizes)
        return TensorData(extent, sizes, self._take(entry, binary, sizes, extent.count))

    def _measure(self, sizes: list[int]) -> Extent:
        rows, steps, count = 1, 1, 1
        for axis, size in zip(self.axes, sizes, strict=True):
            if size < 1:
                raise self._other_shape(sizes)
            if axis == BATCH:
                rows, rest = divmod(size, self._fold)
                if rest:
                    raise self._other_shape(sizes)
            elif axis == TIME:
                steps = size
            elif axis != size:
                raise self._other_shape(sizes)
            count *= size
        if rows * steps > self._max_steps:
            raise SequenceTooLong(
                f"{self.where}: {rows * steps} time steps given; a request may have "
                f"{self._max_steps}"
            )
        extent = Extent(rows, steps, count)
        if len(self._known) < _MAX_KNOWN:
            self._known[tuple(sizes)] = extent
        return extent

    def _take(
        self, entry: dict[str, Any], binary: BinaryTensors, sizes: list[int], count: int
    ) -> bytes:
        parameters = take_parameters(entry, self.where)
        size = parameters.get("binary_data_size")
        if size is None:
            return self._pack(entry.get("data"), sizes, count)
        if type(size) is not int or size != count * self._itemsize:
            given = size if type(size) is int else kind_of(size)
            raise ShapeMismatch(
                f"{self.where}: binary_data_size {given} given; expected "
                f"{count * self._itemsize}, {self.datatype} of the shape {sizes}"
            )
        if "data" in entry:
            raise InvalidRequest(f"{self.where}: data given, and binary_data_size; expected one")
        return binary.take(size, self.where)

    def _pack(self, value: Any, sizes: list[int], count: int) -> bytes:
        """The bytes of JSON numbers, in one flat list or nested as the shape is."""
        if type(value) is not list:
            given = "nothing" if value is None else kind_of(value)
            raise InvalidRequest(f"{self.where}.data: {given} given; expected a list")
        is_flat = not value or type(value[0]) is not list
        if is_flat and len(value) != count:
            raise ShapeMismatch(
                f"{self.where}.data: a list of {len(value)} given; expected {count} values for "
                f"the shape {sizes}"
            )
        try:
            values = value if is_flat else _flat(value, sizes)
            if not self._letter or bool in set(map(type, values)):
                raise TypeError
            return struct.pack(f"<{count}{self._letter}", *values)
        except (struct.error, TypeError, OverflowError):
            return self._explain(value, (count,) if is_flat else tuple(sizes))

    def _explain(self, value: Any, sizes: tuple[int, ...]) -> bytes:
        row = self.tensor.shape
        shape = Shape(row.dtype, sizes, row.low, row.high, row.is_state, row.finite)
        return explain(value, shape, f"{self.where}.data").tobytes()

    def _other_datatype(self, entry: dict[str, Any]) -> ShapeMismatch:
        given = entry.get("datatype", "nothing")
        hint = "no model here takes strings" if given == "BYTES" else None
        return ShapeMismatch(
            f"{self.where}.datatype: {given} given; expected {self.datatype}", hint=hint
        )

    def _other_shape(self, given: Any) -> ShapeMismatch:
        names = [str(axis) if isinstance(axis, int) else axis for axis in self.axes]
        if self._fold > 1 and BATCH in names:
            names[names.index(BATCH)] = f"{self._fold} * batch"
        is_short = type(given) is list and len(given) <= _MAX_SHOWN
        is_short = is_short and {list, dict}.isdisjoint(map(type, given))
        return ShapeMismatch(
            f"{self.where}.shape: {given if is_short else kind_of(given)} given; "
            f"expected [{', '.join(names)}]"
        )


class InputTensor(GivenTensor):
    """One input of a model."""

    def __init__(self, spec: ModelSpec, given: InputSpec, *, max_steps: int) -> None:
        row = Shape(given.dtype, spec.wire_shape(given), given.low, given.high)
        super().__init__(given.name, row, batch_first(spec, given.axes), max_steps=max_steps)

    def read_short(self, entry: dict[str, Any], binary: bytes | None) -> InputSequence | None:
        """The one row that an entry is, alone in a request and of the usual form; None where `read`
        must look closer.
        """
        sizes = entry.get("shape")
        extent = self._known.get(tuple(sizes)) if _is_shape(sizes) else None
        # name, shape, datatype, and data or parameters.
        if extent is None or extent.rows != 1 or len(entry) != 4:
            return None
        if entry.get("datatype") != self.datatype:
            return None
        if "data" in entry:
            data = None if binary else self._pack_short(entry["data"], extent.count)
        else:
            data = binary if _is_size_of(binary, entry.get("parameters")) else None
        if data is None or len(data) != extent.count * self._itemsize:
            return None
        return InputSequence({self.name: self.tensor.read_bytes(data, self.where)}, extent.steps)

    def _pack_short(self, values: Any, count: int) -> bytes | None:
        if type(values) is not list or len(values) != count or not self._letter:
            return None
        if bool in set(map(type, values)):
            return None
        try:
            return struct.pack(f"<{count}{self._letter}", *values)
        except (struct.error, OverflowError):
            return None

    def rows(self, values: TensorData) -> list[Array]:
        """Each row in wire layout, its values checked."""
        data, read, where, rows = (
            values.data,
            self.tensor.read_bytes,
            self.where,
            values.extent.rows,
        )
        if rows == 1:
            return [read(data, where)]
        size = len(data) // rows
        return [read(data[row * size : (row + 1) * size], f"{where}[{row}]") for row in range(rows)]


class StateTensor(GivenTensor):
    """One state of a model, in the program's own layout."""

    def __init__(self, spec: ModelSpec, given: StateSpec, *, max_steps: int) -> None:
        row = Shape(given.dtype, given.session_shape, is_state=True, finite=given.finite)
        axes = own_axes(spec, given)
        super().__init__(given.name, row, axes, fold=given.fold, max_steps=max_steps)

    def rows(self, values: TensorData) -> list[Array]:
        """Each row in session shape, its values checked."""
        if values.extent.rows == 1:
            return [self.tensor.read_bytes(values.data, self.where)]
        whole = np.ndarray(tuple(values.sizes), self.tensor.dtype, values.data)
        parts = np.split(whole, values.extent.rows, self.axes.index(BATCH))
        return [
            self.tensor.read_bytes(part.tobytes(), f"{self.where}[{row}]")
            for row, part in enumerate(parts)
        ]


def batch_first(spec: ModelSpec, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes of an input or output as clients meet them, less those that it lacks."""
    first = [axis for axis in (BATCH, TIME) if axis in axes]
    rest = [axis for axis in axes if isinstance(axis, int)]
    return _with_rows(spec, (*first, *rest), 1)


def own_axes(spec: ModelSpec, state: StateSpec) -> tuple[Axis, ...]:
    """The axes of a state."""
    return _with_rows(spec, state.axes, state.fold)


def shown_shape(axes: tuple[Axis, ...]) -> list[int]:
    """A shape as metadata has it: -1 for what may vary."""
    return [axis if isinstance(axis, int) else _VARIABLE for axis in axes]


def _with_rows(spec: ModelSpec, axes: tuple[Axis, ...], fold: int) -> tuple[Axis, ...]:
    """A model whose rows run one by one takes one: where it has the axis, its size is fixed."""
    return tuple(fold if axis == BATCH and not spec.has_batch else axis for axis in axes)


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    """Whether it is a list of integers: 1.0 and true are equal to 1, and lists may be deep."""
    return type(value) is list and {int}.issuperset(map(type, value))


def _is_size_of(binary: bytes | None, parameters: Any) -> bool:
    """Whether parameters say the size of these bytes, and nothing else."""
    if binary is None or type(parameters) is not dict or len(parameters) != 1:
        return False
    size = parameters.get("binary_data_size")
    return type(size) is int and size == len(binary)


def _flat(value: Any, sizes: list[int]) -> list[Any]:
    """The numbers of nested lists; raises TypeError where a list has another length."""
    if len(value) != sizes[0]:
        raise TypeError
    rows: Iterable[Any] = value
    for size in sizes[1:]:
        rows = list(rows)
        if any(type(row) is not list or len(row) != size for row in rows):
            raise TypeError
        rows = chain.from_iterable(rows)
    return list(rows)
