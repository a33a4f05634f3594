"""What goes to a device and comes back, by way of memory that is used again."""

import numpy as np
import torch

from carousel.service.backends.host_link import HostLink
from tests.harness.late_link import LateLink


def test_what_was_sent_is_the_callers_again() -> None:
    """An array that is written to after `stage` has been sent as it was."""
    link = HostLink("cpu", staged=True)
    array = np.arange(3, dtype=np.float32)
    sent = link.stage(array)
    array[:] = -1
    assert sent.tolist() == [0, 1, 2]


def test_nothing_fetched_is_there_before_the_wait() -> None:
    """What other tests stand on: with a late link, whoever reads too early reads NaN."""
    link = LateLink()
    fetched = link.fetch(torch.arange(3.0))
    assert np.isnan(fetched).all()
    link.wait()
    assert fetched.tolist() == [0, 1, 2]


def test_indexes_stay_until_the_wait() -> None:
    """Those of one run never share a place in the buffer; after the wait it starts again."""
    link = HostLink("cpu", staged=True)
    first, second = link.indexes([1, 2, 3]), link.indexes(range(4, 6))
    assert (first.tolist(), second.tolist()) == ([1, 2, 3], [4, 5])
    link.wait()
    third = link.indexes([7])
    assert third.data_ptr() == first.data_ptr()
    assert third.dtype == torch.int64


def test_more_indexes_than_the_buffer_holds() -> None:
    """Many runs that nobody waits for, and one run larger than the whole buffer."""
    link = HostLink("cpu", staged=True)
    for start in range(0, 20_000, 1_000):
        numbers = range(start, start + 1_000)
        assert link.indexes(numbers).tolist() == list(numbers)
    assert link.indexes(range(10_000)).tolist() == list(range(10_000))


def test_on_the_host_nothing_is_copied() -> None:
    """A link that is not staged hands over the memory itself, both ways."""
    link = HostLink("cpu")
    array = np.arange(3, dtype=np.float32)
    sent = link.send(array)
    assert sent.data_ptr() == array.ctypes.data
    assert link.fetch(sent).ctypes.data == array.ctypes.data
