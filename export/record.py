"""What is written of an export: the manifest, the files, and the state's identity."""

import hashlib
import json
import platform
from collections.abc import Collection, Iterator
from dataclasses import asdict
from datetime import UTC, datetime

import onnx
import onnxruntime
import torch
from torch import nn

from carousel.export.build import Built
from carousel.export.compare import TOLERANCE
from carousel.export.golden import golden, initial
from carousel.export.programs import FILES
from carousel.export.reference import Reference
from carousel.models.manifest import FORMAT, Manifest, Parity, Program, ProgramKind
from carousel.models.spec import ModelSpec

GOLDEN_FILE = "golden.safetensors"
INITIAL_FILE = "initial.safetensors"

_UNSAID = [("context_of", None)]


def make_files(built: Built, reference: Reference, spec: ModelSpec) -> dict[str, bytes]:
    """Every file of the artifact but the manifest."""
    files = {FILES[each.kind]: each.data for each in built.candidates}
    files[GOLDEN_FILE] = golden(reference, spec.streaming != "none")
    stored = initial(reference)
    if stored is not None:
        files[INITIAL_FILE] = stored
    return files


def make_manifest(
    name: str, module: nn.Module, spec: ModelSpec, built: Built, reference: Reference
) -> Manifest:
    """The manifest; the files' sums are filled in where they are written."""
    starts = any(each.initial is not None for each in reference.states)
    return Manifest(
        format=FORMAT,
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state_id=state_id(module, spec, reference.layout.probes[0].seen.changed),
        spec=spec,
        programs=_programs(built),
        parity=Parity(cases=tuple(built.cases), skipped=tuple(_notes(built, reference))),
        golden=GOLDEN_FILE,
        initial=INITIAL_FILE if starts else None,
        tools={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        files={},
    )


def _programs(built: Built) -> dict[ProgramKind, Program]:
    return {
        each.kind: Program(
            file=FILES[each.kind],
            ragged=each.ragged,
            lengths=each.lengths,
            tolerance=TOLERANCE,
            max_error=max(case.error for case in built.cases if case.program == each.kind),
        )
        for each in built.candidates
    }


def _notes(built: Built, reference: Reference) -> Iterator[str]:
    """What was not compared, and why."""
    yield from reference.layout.notes
    for skipped in reference.skipped:
        yield f"not accepted by the original: {skipped}"
    for shortfall in built.shortfalls:
        yield f"left out: {shortfall}"


def state_id(module: nn.Module, spec: ModelSpec, changing: Collection[str] = ()) -> str:
    """What a saved state fits: SHA-256 over the weights and the states' spec.

    Buffers in `changing` are no weights: forward writes them.
    """
    digest = hashlib.sha256()
    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name in sorted(set(weights) - set(changing)):
        array = weights[name].detach().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    # What says nothing is left out, so that a field that is new leaves the ids of old states alone.
    states = [
        {name: value for name, value in asdict(each).items() if (name, value) not in _UNSAID}
        for each in spec.states
    ]
    digest.update(json.dumps(states, sort_keys=True).encode())
    return digest.hexdigest()
