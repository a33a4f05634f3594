"""Torch on one thread, for models so small that more threads only wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch's operators run on the calling thread alone.

    Small recurrent steps lose by more threads, and what runs twice adds up in the same order.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
