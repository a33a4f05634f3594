"""Silero VAD by its own package: what it hears, and how long its loops take.

`python -m benchmarks.silero_loop AUDIO OUT` reads AUDIO (.npy: sessions, frames, 512), saves what
the ONNX file gives for all sessions to OUT and prints a line. Then each line of its input, `onnx`
or `torchscript` and seconds, times that loop over the first session, frame by frame, and is
answered by microseconds a frame.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import silero_vad  # type: ignore[import-untyped]  # it carries no annotations
import torch
from silero_vad.utils_vad import OnnxWrapper, init_jit_model  # type: ignore[import-untyped]

RATE = 16_000
_DATA = Path(silero_vad.__file__).parent / "data"
_WARMUP = 20


def main(audio: Path, out: Path) -> None:
    """Listen to everything, then time what is asked."""
    torch.set_num_threads(1)
    frames = torch.from_numpy(np.load(audio))  # (sessions, frames, 512)
    with warnings.catch_warnings(), torch.no_grad():
        # That TorchScript is deprecated.
        warnings.simplefilter("ignore")
        models = {
            "onnx": OnnxWrapper(str(_DATA / "silero_vad.onnx"), True),
            "torchscript": init_jit_model(str(_DATA / "silero_vad.jit")),
        }
        np.save(out, np.stack([_heard(models["onnx"], each) for each in frames]))
        _say("ready")
        source = cycle(list(frames[0]))
        for line in sys.stdin:
            name, seconds = line.split()
            _say(str(_frame_us(models[name], source, float(seconds))))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _frame_us(
    hear: Callable[[torch.Tensor, int], Any], frames: Iterator[torch.Tensor], seconds: float
) -> float:
    for _ in range(_WARMUP):
        hear(next(frames), RATE)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        hear(next(frames), RATE)
        count += 1
    return spent / count * 1e6


def _heard(onnx: Any, frames: torch.Tensor) -> Any:
    onnx.reset_states()
    return np.asarray([float(onnx(frame, RATE)) for frame in frames], np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
