"""The engine's own step, driven on this thread: a batch of sessions, one time step each."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from benchmarks.cases import Floats, Size
from benchmarks.device.stopwatch import Stopwatch
from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions, load_model
from carousel.service.engine.request import Request

MAX_ROWS = 1024
_FILLED_AT_ONCE = 4096


class Engine:
    """A model whose pool has `num_slots` slots, all of them written."""

    def __init__(
        self,
        artifact: Artifact,
        kind: ProgramKind,
        device: Literal["cpu", "cuda"],
        num_slots: int,
        size: Size,
    ) -> None:
        self.loaded = _load(artifact, kind, device, num_slots)
        self.row_bytes = self.loaded.layout.nbytes
        self._core = self.loaded.engine.core
        self._backend, self._pool = self._core._backend, self._core._pool
        self._num_slots = num_slots
        self._rng = np.random.default_rng(0)
        self._x = self._rng.standard_normal((MAX_ROWS, 1, size.input_size), dtype=np.float32)
        (self._input,) = (each.name for each in artifact.manifest.spec.sent_inputs)
        self._fill()

    def __repr__(self) -> str:
        return f"<Engine {self.loaded!r} slots={self._num_slots}>"

    def step_us(self, watch: Stopwatch, rows: int, *, commits: bool) -> float:
        """Microseconds of one step of sessions anywhere in the pool, each into another slot."""

        def prepare() -> Callable[[], object]:
            slots = self._rng.choice(self._num_slots, 2 * rows, replace=False).tolist()
            requests = [
                Request({self._input: x}, 1, 1e18, source=a, target=b, commits=commits)
                for x, a, b in zip(self._x, slots[:rows], slots[rows:], strict=False)
            ]
            return lambda: self._step(requests)

        return watch.median_us(prepare)

    def program_us(self, watch: Stopwatch, rows: int) -> float:
        """Microseconds of the program alone: inputs from the host, states where they are."""
        spec = self.loaded.spec
        states = self._pool.unpack(self._pool.gather(range(rows)))
        x: Floats = np.ascontiguousarray(
            self._x[:rows].transpose(1, 0, 2).reshape(spec.inputs[0].model_shape(rows, 1))
        )
        lengths = np.ones(rows, np.int32)  # (B,)

        def run() -> None:
            self._backend.run({self._input: x}, states, lengths)
            self._backend.wait()

        return watch.median_us(lambda: run)

    def _step(self, requests: Sequence[Request]) -> None:
        self._core.scheduler.add(requests)
        finished = self._core.step()
        assert len(finished) == len(requests), f"{len(finished)} of {len(requests)} ran"
        assert all(each.error is None for each in finished), finished[0].error

    def _fill(self) -> None:
        """Zeros into every slot: memory that nobody wrote may hold states that are refused."""
        self._pool.write(0, bytes(self.row_bytes))
        for start in range(0, self._num_slots, _FILLED_AT_ONCE):
            slots = range(start, min(start + _FILLED_AT_ONCE, self._num_slots))
            self._pool.scatter(slots, self._pool.gather([0] * len(slots)))
        self._backend.wait()


def _load(
    artifact: Artifact, kind: ProgramKind, device: Literal["cpu", "cuda"], num_slots: int
) -> LoadedModel:
    options = LoadOptions(
        program=kind,
        device=device,
        max_batch=MAX_ROWS,
        resident_sessions=num_slots,
        pool_bytes=1 << 50,
    )
    loaded = load_model(artifact, options)
    if loaded.device != device:
        raise NotHere(f"its {kind} program runs on {loaded.device}, not on {device}")
    return loaded


class NotHere(Exception):
    """What was asked for is not to be had on this machine; the message says why."""
