"""The engine on a GPU beside cuDNN: steps of 1 to 1,024 rows, large pools, memory.

Exports the two models of the benchmarks, runs the engine's step on this thread, and writes
device.json and device.md. What the time does not suffice for is left out, and said to be. With
`--device cpu` the same is measured on the CPU; that shows that it works, and nothing about a GPU.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from benchmarks import artifacts
from benchmarks.cases import MEDIUM, SMALL, Size
from benchmarks.device.engine import MAX_ROWS, Engine, NotHere
from benchmarks.device.layer import measure_layer
from benchmarks.device.results import MemoryUse, PoolTime, Results, StepTime
from benchmarks.device.stopwatch import Stopwatch
from benchmarks.device.table import render
from benchmarks.memory import Memory
from benchmarks.progress import say
from benchmarks.report import machine
from carousel.models.manifest import ProgramKind
from carousel.models.repository import Repository
from carousel.models.row import RowLayout
from carousel.service.backends.base import BackendRefused

_ROWS = tuple(1 << exponent for exponent in range(MAX_ROWS.bit_length()))
_SLOTS = (100_000, 1_000_000)
_PROGRAMS: tuple[ProgramKind, ...] = ("torchscript", "onnx")
# Of what is free on a device, for a pool: weights and runs need some too.
_MOST_OF_FREE = 0.8
_SLICE_S = 0.2


class Measuring:
    """All that is measured on one device, in the order in which it is missed the most."""

    def __init__(
        self, device: Literal["cpu", "cuda"], repository: Path, watch: Stopwatch, *, quick: bool
    ) -> None:
        self.results = Results(_device_name(device), machine())
        self._device: Literal["cpu", "cuda"] = device
        self._repository = Repository(repository)
        self._watch = watch
        self._sizes = _sizes(quick)
        self._rows = (1, 5, 64) if quick else _ROWS
        self._slots = (10_000,) if quick else _SLOTS

    def run(self) -> None:
        """Measure until all is done or the time is over."""
        for size in self._sizes:
            for program in _PROGRAMS:
                self._try(f"{size.name}, {program}: steps", partial(self._steps, size, program))
        for size in self._sizes:
            for slots in self._slots:
                what = f"{size.name}: a pool of {slots:,} sessions"
                self._try(what, partial(self._pool, size, slots))

    def _try(self, what: str, measure: Callable[[], None]) -> None:
        if self._watch.left_s <= 0:
            self.results.left_out.append(f"{what}: the time was over")
            return
        say(what)
        try:
            measure()
        except (NotHere, BackendRefused) as reason:
            self.results.left_out.append(f"{what}: {reason}")
        gc.collect()

    def _steps(self, size: Size, program: ProgramKind) -> None:
        known = {(each.model, each.rows) for each in self.results.layers}
        engine = self._engine(size, program, 4 * MAX_ROWS)
        watch = self._watch
        for rows in self._rows:
            if watch.left_s <= 0:
                self.results.left_out.append(f"{size.name}, {program}: from {rows} rows on")
                break
            if (size.name, rows) not in known:
                self.results.layers.append(measure_layer(size, rows, self._device, watch))
            committed = engine.step_us(watch, rows, commits=True)
            kept = engine.step_us(watch, rows, commits=False)
            alone = engine.program_us(watch, rows)
            self.results.steps.append(StepTime(size.name, program, rows, committed, kept, alone))
        self.results.memory.append(self._memory(size, program))

    def _pool(self, size: Size, slots: int) -> None:
        program = _PROGRAMS[0]
        room = _free_bytes(self._device)
        artifact = self._repository.open(size.model)
        row_bytes = RowLayout(artifact.manifest.spec.states).nbytes
        if slots * row_bytes > _MOST_OF_FREE * room:
            raise NotHere(f"it takes {slots * row_bytes:,} bytes, and {room:,} are free")
        before = _allocated(self._device)
        engine = self._engine(size, program, slots)
        taken = _allocated(self._device) - before
        rows = max(self._rows)
        us = engine.step_us(self._watch, rows, commits=True)
        self.results.pools.append(
            PoolTime(size.name, program, slots, rows, us, slots * row_bytes, taken)
        )

    def _engine(self, size: Size, program: ProgramKind, slots: int) -> Engine:
        return Engine(self._repository.open(size.model), program, self._device, slots, size)

    def _memory(self, size: Size, program: ProgramKind) -> MemoryUse:
        host = Memory.of(os.getpid()).resident
        if self._device == "cpu":
            return MemoryUse(size.name, program, 0, 0, 0, host)
        free, total = torch.cuda.mem_get_info()
        return MemoryUse(
            size.name,
            program,
            torch.cuda.memory_allocated(),
            torch.cuda.memory_reserved(),
            total - free,
            host,
        )


def _sizes(quick: bool) -> tuple[Size, ...]:
    return (SMALL,) if quick else (SMALL, MEDIUM)


def _device_name(device: str) -> str:
    if device == "cpu":
        return "cpu"
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"cuda, {torch.cuda.get_device_name()}, cuDNN {cudnn}"


def _allocated(device: str) -> int:
    return torch.cuda.memory_allocated() if device == "cuda" else 0


def _free_bytes(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Measure and write; 1 where there is no such device."""
    options = _parse()
    if options.device == "cuda" and not torch.cuda.is_available():
        say("torch sees no CUDA device")
        return 1
    results: Path = options.results
    results.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    watch = Stopwatch(options.seconds, _SLICE_S / 10 if options.quick else _SLICE_S)
    artifacts.main(results / "model-repository", _sizes(options.quick))
    measuring = Measuring(options.device, results / "model-repository", watch, quick=options.quick)
    measuring.run()
    (results / "device.json").write_text(measuring.results.to_json())
    page = render(measuring.results)
    (results / "device.md").write_text(page)
    sys.stdout.write(page)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="a few sizes, briefly")
    parser.add_argument(
        "--seconds", type=float, default=90.0, help="what all may take (default 90), exports too"
    )
    parser.add_argument("--results", type=Path, default=Path("gpu-results"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
