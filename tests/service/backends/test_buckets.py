"""Batches are filled up to a few sizes, and nobody else's answer or slot knows of it."""

import numpy as np

from carousel.models.row import RowLayout
from carousel.service.backends.buckets import BucketedBackend, Buckets
from tests.harness.fakes import WITNESS, WitnessBackend

LAYOUT = RowLayout(WITNESS.states)


def _row(total: float) -> bytes:
    return LAYOUT.pack({"h": np.full((1, 2), total, np.float32)})


def test_sizes_are_powers_of_two_and_those_half_way() -> None:
    """Up to the most rows of a run, which is a size whatever it is."""
    assert Buckets(48).sizes == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    assert Buckets(20).sizes == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    assert Buckets(1).sizes == [1]


def test_a_size_holds_the_rows_and_at_most_half_as_many_more() -> None:
    """For every number of rows up to the most; a number beyond that is left as it is."""
    buckets = Buckets(256)
    for num_rows in range(1, 257):
        size = buckets.size(num_rows)
        assert size in buckets.sizes
        assert num_rows <= size <= 1.5 * num_rows
    assert buckets.size(300) == 300


def test_a_run_sees_sizes_alone_and_answers_the_rows_there_are() -> None:
    """Five rows of mixed lengths run as six; the sixth is the fifth again, down to its length."""
    inner = WitnessBackend()
    backend = BucketedBackend(inner, WITNESS, 64)
    pool = backend.make_pool(8)
    for slot in range(5):
        pool.write(slot, _row(slot))
    held = pool.gather(range(5))
    x = np.arange(5 * 3 * 2, dtype=np.float32).reshape(5, 3, 2)  # (B, T, F)
    lengths = np.array([3, 3, 3, 3, 2], np.int32)  # (B,)
    outputs, states = backend.run({"x": x}, pool.unpack(held), lengths)
    (seen, seen_lengths), (output,), (state,) = inner.seen[0], outputs, states
    assert inner.batches == [(6, 3)]
    np.testing.assert_array_equal(seen[5], x[4])
    np.testing.assert_array_equal(seen_lengths, [3, 3, 3, 3, 2, 2])
    expected = np.cumsum(x, axis=1) + np.arange(5)[:, None, None]
    expected[4, 2] = expected[4, 1]
    assert output.shape == (5, 3, 2)
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(state[0, 5], state[0, 4])


def test_copies_go_into_a_slot_that_nobody_has() -> None:
    """Slots that the batch did not write keep what they hold, the last one too."""
    backend = BucketedBackend(WitnessBackend(), WITNESS, 64)
    pool = backend.make_pool(9)
    assert pool.num_slots == 9
    for slot in range(9):
        pool.write(slot, _row(slot))
    held = pool.gather([0, 1, 2, 3, 4])
    assert len(held) == 6
    pool.scatter([5, 6, 7, 1, 0], held)
    found = pool.unpack(pool.gather(range(9)))[0][0, :9, 0]  # (1, 12, 2)
    assert found.tolist() == [4, 3, 2, 3, 4, 0, 1, 2, 8]


def test_a_poisoned_last_row_is_one_row() -> None:
    """Its copies are poisoned as it is, and come behind all rows that anybody asked for."""
    pool = BucketedBackend(WitnessBackend(), WITNESS, 64).make_pool(5)
    for slot in range(5):
        pool.write(slot, _row(np.nan if slot == 4 else slot))
    assert pool.finite(pool.gather(range(5))).tolist() == [True] * 4 + [False] * 2
