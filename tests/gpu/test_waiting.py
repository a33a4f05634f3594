"""The host waits for the device once a run, and what it then reads is what was computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from carousel.models.row import Array
from carousel.service.backends.host_link import HostLink
from tests.gpu.bench import NUM_INPUTS, lstm_bench
from tests.harness.places import Place, places


@contextmanager
def _nobody_waits() -> Iterator[None]:
    """torch raises at whatever waits for the device by the way; an event that is waited for is
    none of that, and so `HostLink.wait` is free to. What ONNX Runtime does is not seen.
    """
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("place", places("cuda"))
def test_a_run_waits_in_one_place(place: Place, tmp_path: Path) -> None:
    """New sessions and known ones, all sizes of batches, states to the host or not."""
    rng = np.random.default_rng(7)
    bench = lstm_bench(place, tmp_path)
    known = [bench.request(_x(rng, 1)) for _ in range(20)]
    bench.run(known)
    with _nobody_waits():
        for num_rows in (1, 2, 5, 20):
            requests = [
                bench.request(_x(rng, 1), source=each.target, commits=index % 2 == 0)
                for index, each in enumerate(known[:num_rows])
            ]
            bench.run([*requests, bench.request(_x(rng, 1)), bench.request(_x(rng, 30))])
            assert [each.error for each in requests] == [None] * num_rows


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_is_fetched_from_cuda_stays_until_it_was_read() -> None:
    """A tensor that is dropped, its memory wanted again at once, while it is being copied."""
    link = HostLink("cuda")
    for value in range(20):
        with link.running():
            fetched = link.fetch(torch.full((1 << 24,), float(value), device="cuda"))
            torch.full((1 << 24,), -1.0, device="cuda")
        link.wait()
        assert (fetched == value).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_is_sent_to_cuda_may_be_dropped_at_once() -> None:
    """Many arrays, each gone before its copy can be done."""
    link = HostLink("cuda")
    with link.running():
        sent = [link.send(np.full(1 << 20, value, np.float32)) for value in range(50)]
        fetched = link.fetch(torch.stack([each.mean() for each in sent]))
    link.wait()
    assert fetched.tolist() == list(range(50))


def _x(rng: np.random.Generator, num_steps: int) -> Array:
    return rng.standard_normal((num_steps, NUM_INPUTS)).astype(np.float32)
