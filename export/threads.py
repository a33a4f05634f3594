"""How torch computes while it proves: on how many threads, and by which kernels."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

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


def kernels_for(module: nn.Module, num_weights: int) -> AbstractContextManager[None]:
    """Within it a large LSTM runs without oneDNN, which copies all its weights at every call.

    Few steps are up to ten times as fast so (92 million weights, one step: 0.18 and 0.016 s) and
    no less exact; convolutions are what oneDNN is good at.
    """
    kinds = {type(each) for each in module.modules()}
    convolves = any(issubclass(each, nn.modules.conv._ConvNd) for each in kinds)
    plain = num_weights >= LARGE and nn.LSTM in kinds and not convolves
    return onednn(torch._C._get_mkldnn_enabled() and not plain)


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Within it torch's operators on the CPU are oneDNN's where it has them, as they are in a
    server, or never.
    """
    # Not torch.backends.mkldnn.flags, which warns of other flags that it does not change.
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(enabled)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)
