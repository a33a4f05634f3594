"""What is written: the manifest, the programs, the golden example and first values of states."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import onnx
import onnxruntime
import torch
from safetensors.torch import save

from carousel.export.artifact.golden import golden
from carousel.export.measured.parity import Measured
from carousel.export.measured.subject import Subject
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.runtime import FILES
from carousel.models.manifest import FORMAT, Manifest, Parity, Program

GOLDEN_FILE = "golden.safetensors"
INITIAL_FILE = "initial.safetensors"


@dataclass(frozen=True, slots=True)
class Proven:
    """An artifact that is not written yet."""

    manifest: Manifest
    files: dict[str, bytes]


def record(
    name: str,
    subject: Subject,
    programs: Sequence[tuple[Candidate, Measured]],
    notes: Sequence[str],
) -> Proven:
    """The artifact of what was measured; the files' sums are filled in where they are written."""
    spec = subject.spec
    files = {FILES[candidate.kind]: candidate.data for candidate, _ in programs}
    files[GOLDEN_FILE] = golden(subject, streams=spec.streaming != "none")
    initial = subject.initial_values()
    if initial:
        files[INITIAL_FILE] = save({key: each.contiguous() for key, each in initial.items()})
    manifest = Manifest(
        format=FORMAT,
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state_id=subject.state_id(),
        spec=spec,
        programs={each.kind: _program(each, measured, subject) for each, measured in programs},
        parity=Parity(
            cases=tuple(case for _, measured in programs for case in measured.cases.all()),
            skipped=tuple(notes),
        ),
        golden=GOLDEN_FILE,
        initial=INITIAL_FILE if initial else None,
        tools={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            **subject.tools(),
        },
        files={},
        origins=subject.origins() or None,
    )
    return Proven(manifest, files)


def _program(candidate: Candidate, measured: Measured, subject: Subject) -> Program:
    asked = subject.tolerance
    # Where the arithmetic itself was coarser, the bound that the program was then held to.
    widened = measured.cases.relative > asked.relative * 1.001
    return Program(
        file=FILES[candidate.kind],
        ragged=candidate.ragged,
        lengths=candidate.lengths,
        tolerance=asked.ceiling if widened else asked.relative,
        max_error=max(case.error for case in measured.cases.all()),
        step_us=measured.step_us,
    )
