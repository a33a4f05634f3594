"""The way between the host and the device that a program runs on: pinned memory and streams.

What a run needs goes out of pinned memory on the stream of runs, and what the host wants comes back
into pinned memory on a stream of its own. Nobody waits on the way: the host does so once a run, in
`wait`, and until then what it fetched is not there. Pinned memory that a copy may still use is kept
by torch's allocator, so arrays may be dropped at any time.

On the CPU both ends are one memory, and arrays are handed over as they are, unless the link is
`staged`: then they take every turn that they take to a GPU, through ordinary memory, and over
streams that do nothing (torch.cpu).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from carousel.models.row import Array

_NUM_INDEXES = 4096
_HERE: AbstractContextManager[None] = nullcontext()


class HostLink:
    """One of a loaded model. `indexes` and `wait` belong to the thread that owns the pool."""

    def __init__(self, device: str, *, staged: bool | None = None) -> None:
        """`staged` None: where there is a device apart from the host."""
        self.device = torch.device(device)
        self.is_cuda = self.device.type == "cuda"
        self._is_staged = self.is_cuda if staged is None else staged
        self._streams = torch.get_device_module(self.device)
        # Not torch's usual stream: all models would stand in one line, and ONNX Runtime takes a
        # stream that is 0 for none (microsoft/onnxruntime#19229).
        self._runs, self._copies = self._streams.Stream(), self._streams.Stream()
        self._settled = self._streams.Event()
        self._indexes = self._host_memory((_NUM_INDEXES,), torch.int64)
        self._num_used = 0

    def __repr__(self) -> str:
        return f"<HostLink {self.device} staged={self._is_staged}>"

    @property
    def stream_handle(self) -> int:
        """The stream of runs, as CUDA knows it, for another library to run on."""
        assert self.is_cuda, "only CUDA has streams with a handle"
        handle: int = self._runs.cuda_stream
        return handle

    def running(self) -> AbstractContextManager[object]:
        """What torch does inside is done on the stream of runs."""
        if not self._is_staged:
            return _HERE
        entered: AbstractContextManager[object] = self._streams.stream(self._runs)
        return entered

    def stage(self, array: Array) -> torch.Tensor:
        """The array as a tensor on the host that a copy may read for as long as it likes."""
        given = torch.from_numpy(array)
        if not self._is_staged:
            return given
        return self._host_memory(given.shape, given.dtype).copy_(given)

    def send(self, array: Array) -> torch.Tensor:
        """The array as a tensor on the device; inside of `running`."""
        return self.stage(array).to(self.device, non_blocking=True)

    def indexes(self, slots: Sequence[int]) -> torch.Tensor:
        """(B,) int64 on the device, by way of one buffer; inside of `running`.

        What was written there since the last `wait` may still be read, and stays.
        """
        count = len(slots)
        if self._num_used + count > len(self._indexes):
            self.wait()
            if count > len(self._indexes):
                self._indexes = self._host_memory((2 * count,), torch.int64)
        part = self._indexes[self._num_used : self._num_used + count]  # (B,)
        part.numpy()[:] = slots
        self._num_used += count
        return part.to(self.device, non_blocking=True)

    def fetch(self, tensor: torch.Tensor) -> Array:
        """An array on the host that holds the tensor once `wait` has returned."""
        if not self._is_staged:
            return np.asarray(tensor.numpy())
        self._copies.wait_stream(self._runs)
        with self._streams.stream(self._copies):
            host = self._host_memory(tensor.shape, tensor.dtype)
            host.copy_(tensor, non_blocking=True)
        if tensor.is_cuda:
            # Its memory is not given to another tensor before it has been read.
            tensor.record_stream(self._copies)
        return np.asarray(host.numpy())

    def wait(self) -> None:
        """Wait until all that was begun is done: the one time in a run that the host does."""
        if self._is_staged:
            self._copies.wait_stream(self._runs)
            self._settled.record(self._copies)
            self._settled.synchronize()
        self._num_used = 0

    def _host_memory(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=self.is_cuda)
