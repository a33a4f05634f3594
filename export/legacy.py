"""The one warning filter of the exporter, and what else the legacy exporters say unasked."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.jit._trace import TracerWarning


@contextmanager
def legacy_quiet() -> Iterator[None]:
    """Silence what TorchScript and the ONNX export over it say about themselves, nothing else.

    Both are deprecated and pinned on purpose. What a trace warns about (sizes turned into
    constants) is not trusted but measured: every program runs at many sizes. oneDNN says once per
    process that it leaves LSTM with projections to torch.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=DeprecationWarning, module=r"torch\.|carousel\.export\."
        )
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings(
            "ignore",
            category=UserWarning,
            module=r"torch\.(onnx|jit)\.|carousel\.export\.programs\.onnx",
        )
        warnings.filterwarnings("ignore", message="LSTM with projections is not supported with one")
        yield


@contextmanager
def unlogged() -> Iterator[None]:
    """No dump of the whole graph on standard output where an operator has no ONNX form.

    torch's own switch is stuck on (`setup_onnx_logging` asks for a function and not its answer).
    """
    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log
