"""The parity table as people read it: one line for each program and check."""

from collections.abc import Iterator

from carousel.export.progress import Progress
from carousel.models.artifact import Artifact
from carousel.models.manifest import Manifest, ParityCase


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
