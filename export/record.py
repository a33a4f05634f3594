"""What is written of an export: the manifest, the files, and the state's identity."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import onnx
import onnxruntime
import torch
from torch import nn

from export.build import Built
from export.compare import TOLERANCE
from export.golden import golden, initial
from export.programs import FILES
from export.reference import Reference
from models.manifest import FORMAT, FileSum, Manifest, Parity, Program
from models.spec import ModelSpec

GOLDEN_FILE = "golden.safetensors"
INITIAL_FILE = "initial.safetensors"


def make_files(built: Built, reference: Reference, spec: ModelSpec) -> dict[str, bytes]:
    """Every file of the artifact but the manifest."""
    files = {FILES[each.kind]: each.data for each in built.candidates}
    files[GOLDEN_FILE] = golden(reference, spec.streaming != "none")
    stored = initial(reference)
    if stored is not None:
        files[INITIAL_FILE] = stored
    return files


def make_manifest(
    name: str,
    spec: ModelSpec,
    built: Built,
    reference: Reference,
    files: Mapping[str, bytes],
    module: nn.Module,
) -> Manifest:
    """The manifest of `files`."""
    programs = {
        each.kind: Program(
            file=FILES[each.kind],
            ragged=each.ragged,
            lengths=each.lengths,
            tolerance=TOLERANCE,
            max_error=max(case.error for case in built.cases if case.program == each.kind),
        )
        for each in built.candidates
    }
    notes = [*reference.layout.notes]
    notes += [f"not accepted by the original: {each}" for each in reference.skipped]
    notes += [f"left out: {each}" for each in built.shortfalls]
    return Manifest(
        format=FORMAT,
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state_id=state_id(module, spec),
        spec=spec,
        programs=programs,
        parity=Parity(cases=tuple(built.cases), skipped=tuple(notes)),
        golden=GOLDEN_FILE,
        initial=INITIAL_FILE if INITIAL_FILE in files else None,
        tools={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        files={
            file: FileSum(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
            for file, data in files.items()
        },
    )


def state_id(module: nn.Module, spec: ModelSpec) -> str:
    """What a saved state fits: SHA-256 over the weights and the states' spec."""
    digest = hashlib.sha256()
    for name, weight in sorted((*module.named_parameters(), *module.named_buffers())):
        array = weight.detach().contiguous().cpu()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    states = [asdict(each) for each in spec.states]
    digest.update(json.dumps(states, sort_keys=True).encode())
    return digest.hexdigest()
