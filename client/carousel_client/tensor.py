"""One input or state of a model: what a caller gives, as an array that fits the wire."""

from typing import Any

import numpy as np
import numpy.typing as npt

from carousel_client.errors import InvalidRequest, OutOfRange, ShapeMismatch
from carousel_client.model import Array, TensorInfo


class Tensor:
    """Casts and checks the values of one tensor."""

    __slots__ = ("_dtype", "_has_time", "_info", "_ndim", "_sizes")

    def __init__(self, info: TensorInfo) -> None:
        self._info = info
        self._dtype = info.dtype
        self._has_time = info.has_time
        self._sizes = info.sizes
        self._ndim = len(info.shape)

    def __repr__(self) -> str:
        return f"<Tensor {self._info.name} {self._dtype} {self._shape}>"

    def cast(self, value: npt.ArrayLike, where: str) -> Array:
        """The value in the wire's dtype and shape; raises ShapeMismatch, OutOfRange or
        InvalidRequest. Floats become narrower floats and integers floats; nothing else is rounded.
        """
        array = self.convert(value, where)
        if array.ndim != self._ndim or array.shape[self._has_time :] != self._sizes:
            raise self._mismatch(array, where)
        return array

    def convert(self, value: npt.ArrayLike, where: str) -> Array:
        """The value in the wire's dtype, whatever its shape. Raises as `cast`."""
        array = value if type(value) is np.ndarray else _to_array(value, where)
        if array.dtype is not self._dtype and array.dtype != self._dtype:
            array = self._convert(array, where)
        return array

    @property
    def _shape(self) -> str:
        return f"({', '.join(map(str, self._info.shape))})"

    def _convert(self, array: Array, where: str) -> Array:
        given, wanted = array.dtype, self._dtype
        if given.kind == wanted.kind == "f" or (given.kind in "iu" and wanted.kind == "f"):
            # What overflows becomes an infinity, and the server says where.
            with np.errstate(over="ignore"):
                return array.astype(wanted)
        if given.kind in "iu" and wanted.kind in "iu":
            cast = array.astype(wanted)
            if not np.array_equal(cast, array):
                raise OutOfRange(f"{where}: integers beyond {wanted.name} given")
            return cast
        if array.size == 0:
            return array.astype(wanted)
        raise InvalidRequest(f"{where}: {given.name} given; expected {wanted.name}")

    def _mismatch(self, array: Array, where: str) -> ShapeMismatch:
        hint = None
        if self._has_time and array.shape == self._sizes:
            hint = "one time step has the time axis too: x[None]"
        return ShapeMismatch(
            f"{where}: shape {array.shape} given; expected {self._shape}", hint=hint
        )


def _to_array(value: Any, where: str) -> Array:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise InvalidRequest(f"{where}: what is given is no array of numbers") from None
    if array.dtype.kind not in "fiub":
        raise InvalidRequest(f"{where}: {array.dtype.name} given; expected numbers")
    return array
