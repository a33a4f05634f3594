"""Programs as they will be served: loaded from their bytes, run by name, in one piece or chunks."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import onnxruntime as ort
import torch

from carousel.export.sampling import take_steps
from carousel.models.manifest import ProgramKind, Ragged
from carousel.models.spec import BATCH, TIME, ModelSpec, TensorSpec

Tensors = dict[str, torch.Tensor]


class Runner(Protocol):
    """A loaded program: tensors in its order, tensors out in its order."""

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """One run."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave: outputs by name, and the new states by state name."""

    outputs: Tensors
    states: Tensors


@dataclass(slots=True)
class Candidate:
    """A program that has yet to show what it is worth."""

    kind: ProgramKind
    data: bytes
    spec: ModelSpec
    lengths: str | None
    runner: Runner = field(repr=False)
    ragged: Ragged = "equal_length"

    def run(
        self,
        inputs: Mapping[str, torch.Tensor],
        states: Mapping[str, torch.Tensor],
        lengths: torch.Tensor | None = None,
    ) -> Result:
        """One run of the program; without `lengths` every row has all the time steps."""
        given = [inputs[each.name] for each in self.spec.inputs]
        given += [states[each.name] for each in self.spec.states]
        if self.lengths is not None:
            given.append(self._full(inputs) if lengths is None else lengths)
        # Copies: a program that writes into its input must not spoil the expected values.
        found = self.runner([each.clone(memory_format=torch.contiguous_format) for each in given])
        names = [each.name for each in self.spec.outputs]
        changing = [each.name for each in self.spec.states if not each.fixed]
        outputs = dict(zip(names, found, strict=False))
        return Result(outputs, dict(zip(changing, found[len(names) :], strict=True)))

    def run_chunks(
        self,
        inputs: Mapping[str, torch.Tensor],
        states: Mapping[str, torch.Tensor],
        chunks: Sequence[int],
    ) -> Result:
        """The time steps in `chunks` one after the other, the state handed on; joined outputs."""
        parts: list[Tensors] = []
        start = 0
        axes = {each.name: each.axes for each in self.spec.inputs}
        for chunk in chunks:
            taken = {
                name: take_steps(each, axes[name], start, start + chunk)
                for name, each in inputs.items()
            }
            result = self.run(taken, states)
            parts.append(result.outputs)
            states = {**states, **result.states}
            start += chunk
        outputs = {each.name: _join(each, parts) for each in self.spec.outputs}
        return Result(outputs, dict(states))

    def run_whole(
        self, inputs: Mapping[str, torch.Tensor], states: Mapping[str, torch.Tensor], time: int
    ) -> Result:
        """The whole sequence as it will be served: at once, or frame by frame."""
        if self.spec.run_steps is None or not time:
            return self.run(inputs, states)
        return self.run_chunks(inputs, states, [self.spec.run_steps] * time)

    def _full(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        timed = next(each for each in self.spec.inputs if each.time_axis is not None)
        shape = inputs[timed.name].shape
        rows = shape[timed.axes.index(BATCH)] if BATCH in timed.axes else 1
        return torch.full((rows,), shape[timed.axes.index(TIME)], dtype=torch.int32)


def _join(spec: TensorSpec, parts: list[Tensors]) -> torch.Tensor:
    if spec.time_axis is None:
        return parts[-1][spec.name]
    return torch.cat([each[spec.name] for each in parts], dim=spec.time_axis)


def load_onnx(data: bytes) -> Runner:
    """An ONNX program on one thread of the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        feed = {name: each.numpy() for name, each in zip(names, tensors, strict=True)}
        return [torch.from_numpy(each) for each in session.run(None, feed)]

    return run


def load_torchscript(data: bytes) -> Runner:
    """A TorchScript program on the CPU."""
    module = torch.jit.load(  # type: ignore[no-untyped-call]  # torch leaves it so
        io.BytesIO(data), map_location="cpu"
    )

    def run(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        with torch.no_grad():
            return list(module(*tensors))

    return run


LOADERS = {"onnx": load_onnx, "torchscript": load_torchscript}
FILES: dict[ProgramKind, str] = {"onnx": "model.onnx", "torchscript": "model.ts"}
