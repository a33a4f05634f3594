"""A finished program loaded again from its bytes, and called by the names in its spec."""

from carousel.export.importing.runtime import open_session, run_session
from carousel.export.importing.stepper import Call
from carousel.export.legacy import legacy_quiet
from carousel.export.programs import LOADERS, Tensors
from carousel.models.manifest import ProgramKind
from carousel.models.spec import ModelSpec


def load_call(kind: ProgramKind, data: bytes, spec: ModelSpec) -> Call:
    """What the served program answers, run as a server runs it: ONNX by name, else by place."""
    given = [each.name for each in (*spec.inputs, *spec.program_states)]
    wanted = [each.name for each in spec.outputs]
    wanted += [each.output for each in spec.states if each.output is not None]
    if kind == "onnx":
        session = open_session(data)
        return lambda values: run_session(session, given, wanted, values)
    with legacy_quiet():
        runner = LOADERS[kind](data)

    def call(values: Tensors) -> Tensors:
        return dict(zip(wanted, runner([values[name].clone() for name in given]), strict=True))

    return call
