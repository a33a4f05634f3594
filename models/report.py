"""What an artifact is, on one screen and as JSON: its tensors, states, programs, what is next."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from carousel.models.manifest import Manifest, ParityCase, ProgramKind, Ragged
from carousel.models.row import RowLayout
from carousel.models.spec import (
    BATCH,
    Axis,
    InputSpec,
    ModelSpec,
    OutputSpec,
    StateSpec,
    Streaming,
)


@dataclass(frozen=True, slots=True)
class TensorLine:
    """One tensor, its axes as the program has them, and what it is."""

    name: str
    dtype: str
    axes: tuple[Axis | str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class ProgramLine:
    """One program: how near it is to the original, how fast a step was where it was made."""

    kind: ProgramKind
    max_error: float
    tolerance: float
    step_us: float | None
    ragged: Ragged
    checks: tuple["CheckLine", ...]

    @property
    def text(self) -> str:
        """The kind, the error, the speed."""
        speed = "" if self.step_us is None else f", {self.step_us:,.0f} us a step on this machine"
        return f"{self.kind} (error {self.max_error:.1e} of {self.tolerance:.0e} allowed{speed})"


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One kind of comparison: the sizes it was made at, and the one nearest to its bound."""

    check: str
    batches: tuple[int, ...]
    times: tuple[int, ...]
    error: float
    bound: float


@dataclass(frozen=True, slots=True)
class Report:
    """An artifact as people read it. `next` is the command that serves it."""

    name: str
    version: int
    inputs: tuple[TensorLine, ...]
    states: tuple[TensorLine, ...]
    outputs: tuple[TensorLine, ...]
    step: str
    streaming: Streaming
    streaming_reason: str | None
    batches: str
    programs: tuple[ProgramLine, ...]
    served: str
    notes: tuple[str, ...]
    next: str

    @classmethod
    def of(cls, manifest: Manifest, version: int, repository: Path) -> "Report":
        """The report of a manifest."""
        spec, why = manifest.spec, manifest.origins or {}
        return cls(
            name=manifest.name,
            version=version,
            inputs=tuple(_tensor(each, _input(each)) for each in spec.inputs),
            states=tuple(_tensor(each, _state(each, why.get(each.name))) for each in spec.states),
            outputs=tuple(_tensor(each, _output(each, spec)) for each in spec.outputs),
            step=_step(spec),
            streaming=spec.streaming,
            streaming_reason=spec.streaming_reason,
            batches=_batches(manifest),
            programs=tuple(_programs(manifest)),
            served=_served(manifest),
            notes=tuple(dict.fromkeys(manifest.parity.skipped)),
            next=f"carousel-serve --model-repository {repository}",
        )

    @property
    def streams(self) -> str:
        """The streaming kind and what it means."""
        if self.streaming == "step":
            return "step, piece by piece it answers what it answers to the whole"
        if self.streaming == "last":
            return "last, the answer belongs to the last step, piece by piece as for the whole"
        return f"none, whole sequences only ({self.streaming_reason})"

    def json(self) -> str:
        """All of it as one JSON object."""
        return json.dumps(asdict(self), indent=2)

    def text(self) -> str:
        """All of it on one screen."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.name}: what was found"
        yield from _table((*self.inputs, *self.states, *self.outputs))
        yield f"{self.name} version {self.version}: streaming {self.streams}"
        for label, text in (
            ("one step", self.step),
            ("batches", self.batches),
            ("programs", ", ".join(each.text for each in self.programs)),
            ("served", self.served),
        ):
            yield f"  {label:<12} {text}"
        yield f"  {'proved':<12} {'check':<12} {'batch':>10} {'time':>12} {'error':>9} {'bound':>9}"
        for program in self.programs:
            for each in program.checks:
                sizes = f"{_listed(each.batches):>10} {_listed(each.times):>12}"
                errors = f"{each.error:>9.1e} {each.bound:>9.1e}"
                yield f"  {program.kind:<12} {each.check:<12} {sizes} {errors}"
        for note in self.notes:
            yield f"  note: {note}"
        yield f"  {'next':<12} {self.next}"


def _table(lines: Sequence[TensorLine]) -> Iterator[str]:
    rows = [(each.name, each.dtype, f"({', '.join(map(str, each.axes))})") for each in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row, line in zip(rows, lines, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield f"  {'  '.join(cells)}  {line.what}"


def _tensor(spec: InputSpec | StateSpec | OutputSpec, what: str) -> TensorLine:
    fold = spec.fold if isinstance(spec, StateSpec) else 1
    axes = tuple(f"{axis}*{fold}" if axis == BATCH and fold > 1 else axis for axis in spec.axes)
    return TensorLine(spec.name, spec.dtype, axes, what)


def _input(spec: InputSpec) -> str:
    if spec.constant is not None:
        return f"constant {spec.constant}"
    if spec.context:
        return f"sent by clients; the model sees {spec.context} kept samples in front"
    if spec.low is None and spec.high is None:
        return "sent by clients"
    low = "any" if spec.low is None else spec.low
    return f"sent by clients, from {low}" + ("" if spec.high is None else f" to {spec.high}")


def _state(spec: StateSpec, why: str | None) -> str:
    if spec.context_of is not None:
        text = f"state, the last samples of {spec.context_of}"
    elif spec.fixed:
        text = "state, set when a session opens"
    else:
        text = f"state, comes back as {spec.output}"
    if spec.has_initial:
        text += ", starts at the stored values"
    return text if why is None else f"{text}; {why}"


def _output(spec: OutputSpec, model: ModelSpec) -> str:
    if spec.stride == 1:
        more = spec.offset or 0
        return f"output, one for every step {f'but {-more}' if more < 0 else f'and {more} more'}"
    if spec.stride is not None:
        return f"output, one for every {spec.stride} steps"
    if spec.per == "sequence":
        return "output, one for the sequence"
    return "output, one for every step" if model.has_time or model.states else "output, one a call"


def _step(spec: ModelSpec) -> str:
    if spec.is_framed:
        return "one frame, one call of the program: a sequence is many calls"
    if not spec.has_time:
        return "one call of the program: the model has no time axis"
    if spec.run_steps is not None:
        number = "any number in a request"
        if spec.max_position is not None:
            number = f"{spec.max_position} at most in a session"
        return f"one time step; the program runs one at a time, the service {number}"
    least, most = spec.min_sequence, spec.max_sequence
    if most is not None:
        return f"one time step; a request carries {least} to {most}"
    number = "may carry any number" if least == 1 else f"carries {least} or more"
    return f"one time step; a request {number}"


def _batches(manifest: Manifest) -> str:
    if not manifest.spec.has_batch:
        return "one row at a time"
    if not manifest.spec.has_time or manifest.spec.max_run_steps == 1:
        return "rows of strangers share a run"
    exact = [kind for kind, each in manifest.programs.items() if each.ragged == "exact"]
    if not exact:
        return "rows of strangers share a run where they are of one length"
    where = "" if len(exact) == len(manifest.programs) else f" ({', '.join(exact)})"
    return f"rows of strangers share a run, of mixed lengths{where}"


def _programs(manifest: Manifest) -> Iterator[ProgramLine]:
    for kind, program in manifest.programs.items():
        yield ProgramLine(
            kind,
            program.max_error,
            program.tolerance,
            program.step_us,
            program.ragged,
            tuple(_checks([each for each in manifest.parity.cases if each.program == kind])),
        )


def _checks(cases: Sequence[ParityCase]) -> Iterator[CheckLine]:
    for check in dict.fromkeys(case.check for case in cases):
        own = [case for case in cases if case.check == check]
        worst = max(own, key=lambda case: case.error / case.bound if case.bound else case.error)
        batches, times = {case.batch for case in own}, {case.time for case in own}
        sizes = tuple(sorted(batches)), tuple(sorted(times))
        yield CheckLine(check, *sizes, worst.error, worst.bound)


def _listed(sizes: Sequence[int]) -> str:
    return " ".join(map(str, sizes))


def _served(manifest: Manifest) -> str:
    name, spec = manifest.name, manifest.spec
    whole = f"POST /v1/models/{name}/infer for whole sequences"
    if not spec.is_streamable:
        return whole
    size = RowLayout(spec.states).nbytes
    return f"{whole}; POST /v1/sessions for streams, {size:,} bytes of state each"
