"""What was exported, as people read it: what each tensor is, and the parity table."""

from collections.abc import Iterator

from carousel.export.progress import Progress
from carousel.export.reading.subject import FileSubject
from carousel.models.artifact import Artifact
from carousel.models.manifest import Manifest, ParityCase
from carousel.models.spec import BATCH, InputSpec, ModelSpec, StateSpec, TensorSpec


def print_table(artifact: Artifact, progress: Progress) -> None:
    """Say what was exported and how near it is to the original."""
    manifest = artifact.manifest
    progress.line(f"{artifact.name} version {artifact.version}: {_summary(manifest)}")
    for line in _lines(manifest):
        progress.line(f"  {line}")
    for skipped in manifest.parity.skipped:
        progress.line(f"  note: {skipped}")


def _summary(manifest: Manifest) -> str:
    spec = manifest.spec
    kind = spec.streaming
    text = f"streaming {kind}" + (f" ({spec.streaming_reason})" if spec.streaming_reason else "")
    ragged = ", ".join(f"{each} {manifest.programs[each].ragged}" for each in manifest.programs)
    return f"{text}; ragged: {ragged}"


def _lines(manifest: Manifest) -> Iterator[str]:
    yield f"{'program':<12} {'check':<12} {'batch':>10} {'time':>12} {'error':>9} {'bound':>9}"
    groups: dict[tuple[str, str], list[ParityCase]] = {}
    for case in manifest.parity.cases:
        groups.setdefault((case.program, case.check), []).append(case)
    for (program, check), cases in groups.items():
        worst = max(cases, key=lambda case: case.error / case.bound if case.bound else case.error)
        batches = _set([case.batch for case in cases])
        times = _set([case.time for case in cases])
        yield (
            f"{program:<12} {check:<12} {batches:>10} {times:>12} "
            f"{worst.error:>9.1e} {worst.bound:>9.1e}"
        )


def _set(sizes: list[int]) -> str:
    return " ".join(str(size) for size in sorted(set(sizes)))


def tell(name: str, subject: FileSubject, progress: Progress) -> None:
    """Say what each tensor is taken for."""
    progress.line(f"{name}: what was found")
    rows = list(_rows(subject.spec, subject.why))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        progress.line(f"  {'  '.join(cells)}  {row[3]}")


def _rows(spec: ModelSpec, why: dict[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for given in spec.inputs:
        yield (given.name, given.dtype, _shape(given), _input(given))
    for state in spec.states:
        text = _state(state)
        reason = why.get(state.name)
        yield (state.name, state.dtype, _shape(state), f"{text}; {reason}" if reason else text)
    for output in spec.outputs:
        per = "one for every step" if output.per == "step" else "one for the sequence"
        yield (output.name, output.dtype, _shape(output), f"output, {per}")


def _input(spec: InputSpec) -> str:
    if spec.constant is not None:
        return f"constant {spec.constant}"
    if spec.context:
        return f"sent by clients; the model sees {spec.context} kept samples in front"
    if spec.low is not None:
        return f"sent by clients, from {spec.low} to {spec.high}"
    return "sent by clients"


def _state(spec: StateSpec) -> str:
    if spec.context_of is not None:
        return f"state, the last samples of {spec.context_of}"
    start = ", starts at the given values" if spec.has_initial else ""
    if spec.fixed:
        return f"state, set when a session opens{start}"
    return f"state, comes back as {spec.output}{start}"


def _shape(spec: TensorSpec) -> str:
    folded = isinstance(spec, StateSpec) and spec.fold > 1
    axes = [
        f"{axis}*{spec.fold}" if folded and isinstance(spec, StateSpec) and axis == BATCH else axis
        for axis in spec.axes
    ]
    return f"({', '.join(map(str, axes))})"
