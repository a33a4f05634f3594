"""What became of an export, and its programs run as a server runs them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError
from carousel.models.manifest import ProgramKind
from carousel.models.spec import OutputSpec
from tests.harness.export_run import Answer, Tensors, proven_by, run, zeros


def attempt(module: nn.Module, example: object, **wishes: Any) -> Proven | ExportError:
    """The artifact, or the refusal; whatever else is raised is a fault of the exporter."""
    try:
        return proven_by(module, example, **wishes)
    except ExportError as refusal:
        said = refusal
    assert "B=0" not in str(said), "there is no batch of no rows"
    return said


def stride(output: OutputSpec) -> int:
    """How many steps go in for one that comes out."""
    return getattr(output, "stride", None) or 1


def alone(module: nn.Module, *given: torch.Tensor) -> torch.Tensor:
    """What eager makes of each row (axis 0 of everything) by itself: the first output, joined."""
    module.eval()
    with torch.no_grad():
        found = [module(*(each[row : row + 1] for each in given)) for row in range(len(given[0]))]
    return torch.cat([row[0] if isinstance(row, tuple) else row for row in found])


def serve(
    made: Proven, kind: ProgramKind, inputs: Mapping[str, torch.Tensor], states: Tensors
) -> Answer:
    """One sequence of equally long rows, as many steps a run as the program takes."""
    spec, program = made.manifest.spec, made.manifest.programs[kind]
    taken = {each.name: each.time_axis for each in spec.inputs}
    timed = {name: axis for name, axis in taken.items() if axis is not None}
    steps = next((inputs[name].shape[axis] for name, axis in timed.items()), 1)
    size = spec.run_steps or steps
    answers: list[Answer] = []
    for first in range(0, steps, size):
        part = {name: each.narrow(timed[name], first, size) if name in timed else each
                for name, each in inputs.items()}  # fmt: skip
        lengths = [size] * rows(made, inputs) if program.lengths is not None else None
        answers.append(run(made, kind, part, states, lengths))
        states = {**states, **answers[-1].states}
    return Answer({each.name: _joined(each, answers) for each in spec.outputs}, states)


def whole(
    made: Proven, kind: ProgramKind, *given: torch.Tensor, states: Tensors | None = None
) -> torch.Tensor:
    """The first output for the inputs in their order, from states at zeros unless given."""
    spec = made.manifest.spec
    names = [each.name for each in spec.sent_inputs]
    inputs = dict(zip(names, given, strict=True)) | constants(made)
    started = {**zeros(made, rows(made, inputs)), **(states or {})}
    return serve(made, kind, inputs, started).outputs[spec.outputs[0].name]


def frames(
    made: Proven, kind: ProgramKind, inputs: Mapping[str, torch.Tensor], states: Tensors
) -> Answer:
    """A framed model over `inputs`, each with the frames in front: outputs stacked likewise."""
    answers: list[Answer] = []
    for frame in range(len(next(iter(inputs.values())))):
        one = {name: each[frame] for name, each in inputs.items()}
        answers.append(run(made, kind, one | constants(made), states))
        states = {**states, **answers[-1].states}
    names = answers[0].outputs
    return Answer({name: torch.stack([a.outputs[name] for a in answers]) for name in names}, states)


def rows(made: Proven, inputs: Mapping[str, torch.Tensor]) -> int:
    """How many rows `inputs` have; one where the model knows no batch."""
    for each in made.manifest.spec.sent_inputs:
        if each.batch_axis is not None:
            return inputs[each.name].shape[each.batch_axis]
    return 1


def constants(made: Proven) -> Tensors:
    """The inputs that no client sends."""
    return {
        each.name: torch.tensor(each.constant, dtype=getattr(torch, each.dtype))
        for each in made.manifest.spec.inputs
        if each.constant is not None
    }


def _joined(output: OutputSpec, answers: list[Answer]) -> torch.Tensor:
    found = [each.outputs[output.name] for each in answers]
    if output.time_axis is None:
        return found[-1]
    return torch.cat(found, dim=output.time_axis)
