"""How many threads torch has: one for models so small that more only wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

LARGE = 20_000_000  # weights from which on a run is long enough to share


@contextmanager
def threads_for(num_weights: int) -> Iterator[None]:
    """Within it torch's operators run on the calling thread alone, unless the model is large.

    Small recurrent steps lose by more threads, and what runs twice adds up in the same order.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before if num_weights >= LARGE else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
