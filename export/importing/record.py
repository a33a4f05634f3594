"""What is written of an import: the golden example, initial values and the manifest."""

import platform
from datetime import UTC, datetime

import onnx
import onnxruntime
import torch
from safetensors.torch import save

from carousel.export.importing.bounds import tolerance
from carousel.export.importing.parity import Measured
from carousel.export.importing.program import Program
from carousel.export.importing.settle import Settled
from carousel.export.programs import FILES, Tensors
from carousel.export.record import GOLDEN_FILE, INITIAL_FILE
from carousel.models.manifest import FORMAT, Manifest, Parity
from carousel.models.manifest import Program as Served
from carousel.models.spec import ModelSpec

_BATCH = 2
_BEFORE = 3  # frames or chunks in front of the golden ones, so that states are not where they start


def make_files(
    program: Program, settled: Settled, spec: ModelSpec, data: bytes, initial: Tensors
) -> dict[str, bytes]:
    """Every file of the artifact but the manifest."""
    files = {FILES[program.kind]: data, GOLDEN_FILE: _golden(settled, spec)}
    if initial:
        files[INITIAL_FILE] = save(
            {
                each.name: initial[each.name].reshape(each.session_shape).contiguous()
                for each in spec.states
                if each.has_initial
            }
        )
    return files


def make_manifest(
    name: str, program: Program, spec: ModelSpec, measured: Measured, has_initial: bool
) -> Manifest:
    """The manifest; the files' sums are filled in where they are written."""
    return Manifest(
        format=FORMAT,
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state_id=program.identity(spec),
        spec=spec,
        programs={
            program.kind: Served(
                file=FILES[program.kind],
                ragged="equal_length",
                tolerance=tolerance(spec),
                max_error=max(case.error for case in measured.cases),
            )
        },
        parity=Parity(cases=tuple(measured.cases), skipped=tuple(measured.skipped)),
        golden=GOLDEN_FILE,
        initial=INITIAL_FILE if has_initial else None,
        tools={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            **program.tools,
        },
        files={},
    )


def _golden(settled: Settled, spec: ModelSpec) -> bytes:
    """What the file itself makes of two rows, after it has run for a while."""
    stepper, draws = settled.stepper, settled.draws
    batch = _BATCH if spec.has_batch else 0
    states = {each.name: draws.start(each, each.fold, batch) for each in spec.states}
    if spec.states:
        for seed in range(_BEFORE):
            states = stepper.run(draws.inputs(spec, batch, settled.time, seed), states).states
    inputs = draws.inputs(spec, batch, settled.time, _BEFORE)
    found = stepper.run(inputs, states)
    tensors: Tensors = {}
    for kind, values in (
        ("input", inputs),
        ("state", states),
        ("output", found.outputs),
        ("state_out", found.states),
    ):
        tensors |= {f"{kind}.{name}": each.clone().contiguous() for name, each in values.items()}
    return save(tensors)
