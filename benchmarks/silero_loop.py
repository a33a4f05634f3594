"""Silero VAD by its own package: frames per second of its loops, and what they hear.

`python -m benchmarks.silero_loop AUDIO OUT SECONDS` reads AUDIO (.npy: sessions, frames, 512),
times the package's wrapper of the ONNX and of the TorchScript file on the first session, frame by
frame, prints microseconds a frame, and saves the ONNX file's probabilities of all sessions to OUT.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import silero_vad  # type: ignore[import-untyped]  # it carries no annotations
import torch
from silero_vad.utils_vad import OnnxWrapper, init_jit_model  # type: ignore[import-untyped]

RATE = 16_000
_DATA = Path(silero_vad.__file__).parent / "data"
ONNX, TORCHSCRIPT = _DATA / "silero_vad.onnx", _DATA / "silero_vad.jit"
_WARMUP = 100


def main(audio: Path, out: Path, seconds: float) -> None:
    """Time both loops, then listen to everything."""
    torch.set_num_threads(1)
    frames = torch.from_numpy(np.load(audio))  # (sessions, frames, 512)
    with warnings.catch_warnings(), torch.no_grad():
        # That TorchScript is deprecated.
        warnings.simplefilter("ignore")
        onnx, script = OnnxWrapper(str(ONNX), True), init_jit_model(str(TORCHSCRIPT))
        found = {
            "onnx_us": _frame_us(lambda frame: onnx(frame, RATE), frames[0], seconds),
            "torchscript_us": _frame_us(lambda frame: script(frame, RATE), frames[0], seconds),
        }
        np.save(out, np.stack([_heard(onnx, each) for each in frames]))
    sys.stdout.write(json.dumps(found))


def _frame_us(hear: Callable[[torch.Tensor], Any], frames: torch.Tensor, seconds: float) -> float:
    source = cycle(list(frames))
    for _ in range(_WARMUP):
        hear(next(source))
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        hear(next(source))
        count += 1
    return spent / count * 1e6


def _heard(onnx: Any, frames: torch.Tensor) -> Any:
    onnx.reset_states()
    return np.asarray([float(onnx(frame, RATE)) for frame in frames], np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
