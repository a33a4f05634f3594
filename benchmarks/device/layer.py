"""nn.LSTM as eager torch runs it on a device: cuDNN's own time, on CUDA."""

import torch

from benchmarks.artifacts import build_lstm
from benchmarks.cases import Size
from benchmarks.device.results import LayerTime
from benchmarks.device.stopwatch import Stopwatch

_QUEUED = 20


def measure_layer(size: Size, rows: int, device: str, watch: Stopwatch) -> LayerTime:
    """One time step of `rows` rows; TF32 is off, as it is in the service."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    layer = build_lstm(size).to(device)
    module = torch.get_device_module(torch.device(device))
    x = torch.randn(1, rows, size.input_size, device=device)  # (T, B, F)
    h = torch.zeros(size.num_layers, rows, size.hidden_size, device=device)  # (L, B, H)
    c = torch.zeros_like(h)  # (L, B, H)

    def run(times: int) -> None:
        with torch.inference_mode():
            for _ in range(times):
                layer(x, (h, c))
        module.synchronize()

    waited = watch.median_us(lambda: lambda: run(1))
    queued = watch.median_us(lambda: lambda: run(_QUEUED)) / _QUEUED
    return LayerTime(size.name, rows, waited, queued)
