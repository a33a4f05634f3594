"""One version of a model, ready to run: its artifact checked, its golden example proven."""

import logging
import time
from dataclasses import dataclass
from typing import Literal

from carousel.models.artifact import Artifact, ArtifactError
from carousel.models.manifest import Manifest, ProgramKind
from carousel.models.row import RowLayout
from carousel.models.spec import ModelSpec
from carousel.service.backends.base import Backend, BackendRefused
from carousel.service.backends.choose import Device, MakeBackend, Place, device_for, make_backend
from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.core import Core
from carousel.service.engine.cost_curve import CostCurve
from carousel.service.engine.cost_file import CostFile, cost_key
from carousel.service.engine.cost_meter import measure_cost
from carousel.service.engine.engine import Engine
from carousel.service.engine.golden import replay_golden
from carousel.service.engine.pace import Pace, choose_pace
from carousel.service.engine.run_memory import RunMemory
from carousel.service.engine.scheduler import Limits, Scheduler
from carousel.service.engine.slots import Slots

log = logging.getLogger("carousel.engine")

_MIN_SLOTS = 2
# What a session with eight recorded replies of 80 bytes takes in memory beside its slot: 1,922
# bytes of objects by tracemalloc, and its identity packed for the store.
_RESIDENT_BYTES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How models are loaded. `program` `auto`: ONNX on the CPU, TorchScript on CUDA.

    `lanes`: threads beside the engine's that run programs, None: one a core where there are
    several; `cost_file`: where it is remembered what runs cost.
    """

    program: Literal["onnx", "torchscript", "auto"] = "auto"
    device: Device = "cpu"
    threads: int = 1
    lanes: int | None = 0
    cost_file: CostFile | None = None
    max_batch: int = 256
    pool_bytes: int = 256 << 20
    resident_sessions: int = 16_384
    queue_requests: int = 4096
    queue_bytes: int = 64 << 20
    max_wait_s: float = 0.0
    chunk_s: float = 0.005
    max_run_bytes: int = 1 << 30


class LoadedModel:
    """One version of a model, ready to run."""

    def __init__(
        self,
        artifact: Artifact,
        program: ProgramKind,
        device: str,
        engine: Engine,
        initial_row: bytes,
    ) -> None:
        self.artifact = artifact
        self.initial_row = initial_row
        self.program = program
        self.device = device
        self.engine = engine
        self.layout = RowLayout(artifact.manifest.spec.states)
        self.retired = False

    def described(self) -> str:
        """What it is, for a person who reads the log."""
        kinds = {"step": "streams step by step", "last": "streams, one answer a request"}
        kind = kinds.get(self.spec.streaming, "takes whole sequences")
        pace, cost = self.engine.core.scheduler.pace, self.engine.core.cost
        runs = f"; {pace.lanes} lanes, {cost.described()}" if pace.lanes and cost else ""
        return (
            f"{self.name}/{self.version} by its {self.program} program on {self.device}; "
            f"{kind}{runs}"
        )

    def __repr__(self) -> str:
        return f"<LoadedModel {self.name}/{self.version} {self.program} on {self.device}>"

    @property
    def name(self) -> str:
        return self.artifact.name

    @property
    def version(self) -> int:
        return self.artifact.version

    @property
    def manifest(self) -> Manifest:
        return self.artifact.manifest

    @property
    def spec(self) -> ModelSpec:
        return self.artifact.manifest.spec

    @property
    def state_id(self) -> str:
        """Names what a saved state fits."""
        return self.artifact.manifest.state_id


def load_model(
    artifact: Artifact, options: LoadOptions, make: MakeBackend = make_backend
) -> LoadedModel:
    """Load an artifact, prove its golden example, and put an engine around it, not yet started.

    `make` makes what runs its program. Raises ArtifactError for a file that differs and
    BackendRefused for a program that cannot be served.
    """
    label = f"{artifact.name}/{artifact.version}"
    spec = artifact.manifest.spec
    artifact.verify()
    kind = _choose_program(artifact, options)
    layout = RowLayout(spec.states)
    num_slots = _num_slots(label, layout, options)
    memory = _run_memory(label, spec, options)
    place = Place(device_for(kind, options.device), options.threads, options.max_batch)
    try:
        backend = make(artifact, kind, layout, place)
        replay_golden(artifact, kind, backend, layout)
        row = initial_row(artifact, layout)
    except ArtifactError:
        raise
    except BackendRefused as error:
        raise BackendRefused(f"{label}: {error}") from error
    except Exception as error:
        # A file can be wrong in ways that nobody thought of; one artifact must not stop the server.
        raise BackendRefused(f"{label}: the golden example cannot be run: {error!r}") from error
    limits = _limits(spec, backend, memory, options)
    cost = _cost(artifact, backend, kind, place, limits, options)
    pace = Pace() if cost is None else choose_pace(cost, options.lanes)
    scheduler = Scheduler(limits, ChunkBudget(options.chunk_s, cost), pace)
    core = Core(
        spec,
        backend,
        backend.make_pool(num_slots if spec.states else 0),
        scheduler,
        initial_row=row,
        clock=time.monotonic,
        cost=cost,
    )
    engine = Engine(
        label,
        core,
        Slots(num_slots),
        max_requests=options.queue_requests,
        max_bytes=options.queue_bytes,
        max_wait_s=options.max_wait_s,
    )
    if not spec.has_batch:
        log.info("%s: a tensor of it has no batch axis, so its rows run one by one", label)
    return LoadedModel(artifact, kind, place.device, engine, row)


def _cost(
    artifact: Artifact,
    backend: Backend,
    kind: ProgramKind,
    place: Place,
    limits: Limits,
    options: LoadOptions,
) -> CostCurve | None:
    """What runs cost, where that decides something: a device runs one after the other."""
    if options.lanes == 0 or place.device != "cpu":
        return None
    key = cost_key(artifact, kind, place.threads)
    known = options.cost_file.find(key) if options.cost_file is not None else None
    if known is not None:
        return known
    try:
        cost = measure_cost(
            artifact,
            backend,
            RowLayout(artifact.manifest.spec.states),
            max_rows=limits.max_rows,
            memory=limits.memory,
        )
    except Exception:
        # It answers its golden example: that it cannot be measured is no reason not to serve it.
        log.warning("%s: what runs cost was not found", artifact.name, exc_info=True)
        return None
    if options.cost_file is not None:
        options.cost_file.keep(key, cost)
    return cost


def initial_row(artifact: Artifact, layout: RowLayout) -> bytes:
    """The state that a sequence starts from: zeros, and the artifact's stored initial values."""
    values = layout.unpack(bytes(layout.nbytes))
    values.update(artifact.initial())
    return layout.pack(values)


def _choose_program(artifact: Artifact, options: LoadOptions) -> ProgramKind:
    programs = artifact.manifest.programs
    wanted: tuple[ProgramKind, ...] = ("onnx", "torchscript")
    if options.program != "auto":
        wanted = (options.program,)
    elif options.device == "cuda":
        wanted = ("torchscript", "onnx") if _runs_onnx_on_cuda() else ("torchscript",)
    for kind in wanted:
        if kind in programs:
            return kind
    raise BackendRefused(
        f"{artifact.name}/{artifact.version}: it has no {' or '.join(wanted)} program for "
        f"{options.device}, only {sorted(programs)}"
    )


def _runs_onnx_on_cuda() -> bool:
    return device_for("onnx", "cuda") == "cuda"


def _num_slots(label: str, layout: RowLayout, options: LoadOptions) -> int:
    if layout.nbytes == 0:
        return options.queue_requests
    num_slots = min(
        options.pool_bytes // (layout.nbytes + _RESIDENT_BYTES), options.resident_sessions
    )
    if num_slots < _MIN_SLOTS:
        raise BackendRefused(
            f"{label}: one session's state is {layout.nbytes} bytes; a pool of "
            f"{options.pool_bytes} bytes has no room for {_MIN_SLOTS} of them"
        )
    return num_slots


def _run_memory(label: str, spec: ModelSpec, options: LoadOptions) -> RunMemory:
    memory = RunMemory.of(spec, options.max_run_bytes)
    if not memory.fits(1, spec.min_sequence):
        raise BackendRefused(
            f"{label}: a run of one row may take {memory.nbytes(1, spec.min_sequence)} bytes, and a"
            f" run may have {options.max_run_bytes} (CAROUSEL_MAX_RUN_BYTES)"
        )
    return memory


def _limits(spec: ModelSpec, backend: Backend, memory: RunMemory, options: LoadOptions) -> Limits:
    return Limits(
        max_rows=options.max_batch if spec.has_batch else 1,
        max_run_steps=spec.max_run_steps,
        chunked=(spec.streaming != "none" or spec.max_run_steps is not None)
        # Of a sequence that a client counts, a piece would be told the count of the whole.
        and not any(each.counts_steps for each in spec.inputs),
        mixed_lengths=backend.mixed_lengths,
        memory=memory,
    )
