"""Batches of a few sizes: a device meets few shapes, and so do its libraries and its allocator.

A batch is filled up to the next size with copies of its last row: same inputs, same state, same
length. A copy can do nothing that the row itself does not, where a row of zeros could (an id that
is none, a state that grows for ever). What becomes of the copies' states goes into one scratch slot
that nobody reads, and their outputs are cut off.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array
from carousel.models.spec import ModelSpec, TensorSpec
from carousel.service.backends.base import Backend, ByteRows, DeviceArray, Pool


class Buckets:
    """The sizes: powers of two and those half-way between, up to `max_rows`, which is one too."""

    def __init__(self, max_rows: int) -> None:
        powers = [1 << exponent for exponent in range(max_rows.bit_length())]
        halves = [power + power // 2 for power in powers[1:]]
        self.sizes = sorted({size for size in (*powers, *halves) if size < max_rows} | {max_rows})

    def __repr__(self) -> str:
        return f"<Buckets {self.sizes}>"

    def size(self, num_rows: int) -> int:
        """The smallest size that holds so many rows; beyond all sizes the number itself."""
        place = bisect_left(self.sizes, num_rows)
        return self.sizes[place] if place < len(self.sizes) else num_rows


class BucketedBackend:
    """A backend around another that sees batches of those sizes alone."""

    def __init__(self, inner: Backend, spec: ModelSpec, max_rows: int) -> None:
        assert spec.has_batch, "a model without a batch axis has one row a run"
        self.mixed_lengths = inner.mixed_lengths
        self._inner = inner
        self._buckets = Buckets(max_rows)
        self._inputs = [each for each in spec.inputs if each.batch_axis is not None]
        self._outputs = spec.outputs

    def __repr__(self) -> str:
        return f"<BucketedBackend {self._buckets!r} {self._inner!r}>"

    def make_pool(self, num_slots: int) -> "BucketedPool":
        """A pool of the backend inside with one slot more."""
        return BucketedPool(self._inner.make_pool(num_slots + 1), self._buckets)

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[DeviceArray],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[DeviceArray]]:
        """Outputs of the rows there are, new states of the whole bucket."""
        num_rows = len(lengths)
        size = self._buckets.size(num_rows)
        if size == num_rows:
            return self._inner.run(inputs, states, lengths)
        order = np.minimum(np.arange(size), num_rows - 1)  # each row, then the last one again
        filled = dict(inputs)
        for each in self._inputs:
            filled[each.name] = inputs[each.name].take(order, axis=each.batch_axis)
        outputs, after = self._inner.run(filled, states, lengths.take(order))
        cut = [
            _first_rows(spec, output, num_rows)
            for spec, output in zip(self._outputs, outputs, strict=True)
        ]
        return cut, after

    def wait(self) -> None:
        """As the backend inside."""
        self._inner.wait()


class BucketedPool:
    """A pool around another whose rows come a bucket at a time; its last slot is the scratch."""

    def __init__(self, inner: Pool, buckets: Buckets) -> None:
        self.num_slots = inner.num_slots - 1
        self._inner = inner
        self._buckets = buckets
        self._scratch = self.num_slots

    def __repr__(self) -> str:
        return f"<BucketedPool {self._inner!r}>"

    def gather(self, slots: Sequence[int]) -> DeviceArray:
        """The rows of `slots`, and the last one's again up to the next size."""
        num_filled = self._buckets.size(len(slots)) - len(slots)
        return self._inner.gather([*slots, *[slots[-1]] * num_filled])

    def unpack(self, rows: DeviceArray) -> list[DeviceArray]:
        """As the pool inside."""
        return self._inner.unpack(rows)

    def pack(self, states: Sequence[DeviceArray], rows: DeviceArray) -> DeviceArray:
        """As the pool inside."""
        return self._inner.pack(states, rows)

    def finite(self, rows: DeviceArray) -> npt.NDArray[np.bool_]:
        """As the pool inside; the copies' come last."""
        return self._inner.finite(rows)

    def scatter(self, slots: Sequence[int], rows: DeviceArray) -> None:
        """Write rows into `slots`, and those behind them into the scratch slot."""
        self._inner.scatter([*slots, *[self._scratch] * (len(rows) - len(slots))], rows)

    def write(self, slot: int, row: bytes) -> None:
        """As the pool inside."""
        self._inner.write(slot, row)

    def to_host(self, rows: DeviceArray, indexes: Sequence[int]) -> ByteRows:
        """As the pool inside."""
        return self._inner.to_host(rows, indexes)


def _first_rows(spec: TensorSpec, output: Array, num_rows: int) -> Array:
    axis = spec.batch_axis
    assert axis is not None, "each output of a model with a batch axis has one"
    return output[(*[slice(None)] * axis, slice(num_rows))]
