"""Proving a module in this process, and running the programs by name as a server would."""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnxruntime as ort
import torch
from safetensors.torch import load
from torch import nn

from carousel.export.artifact.record import INITIAL_FILE, Proven
from carousel.export.options import Options, Stated
from carousel.export.progress import Progress
from carousel.export.prove import prove
from carousel.models.manifest import ProgramKind

_NOTHING = b"\x02\x00\x00\x00\x00\x00\x00\x00{}"  # a safetensors file without tensors

torch.set_num_threads(1)  # the models are small and the cores are shared

Tensors = dict[str, torch.Tensor]


def proven(module: nn.Module, *example: Any, **options: Any) -> Proven:
    """What an export of `module` would write, without the fresh process and the folder."""
    return proven_by(module, example, **options)


def proven_by(module: nn.Module, example: object, **options: Any) -> Proven:
    """The same with the example as one: a tuple, or a mapping of keywords."""
    axes = options.pop("axes", None) or {}
    states = options.pop("states", None)
    said = Options(
        shapes={name: Stated(None, tuple(each)) for name, each in axes.items()},
        states=states if states is None or isinstance(states, dict) else dict.fromkeys(states),
        **options,
    )
    return prove(module, example, "model", said, Progress("model", quiet=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run of a program gave."""

    outputs: Tensors
    states: Tensors


def run(
    made: Proven,
    kind: ProgramKind,
    inputs: Mapping[str, torch.Tensor],
    states: Mapping[str, torch.Tensor],
    lengths: list[int] | None = None,
) -> Answer:
    """Run one program of `made` with everything named as the manifest names it."""
    spec, program = made.manifest.spec, made.manifest.programs[kind]
    given = {each.name: inputs[each.name] for each in spec.inputs}
    given |= {each.name: states[each.name] for each in spec.states}
    if program.lengths is not None:
        assert lengths is not None, "this program wants lengths"
        given[program.lengths] = torch.tensor(lengths, dtype=torch.int32)
    names = [each.name for each in spec.outputs]
    names += [each.output for each in spec.states if each.output is not None]
    data = made.files[program.file]
    found = _run(kind, data, given, names)
    states_out = {each.name: found[each.output] for each in spec.states if each.output is not None}
    return Answer({each.name: found[each.name] for each in spec.outputs}, states_out)


def zeros(made: Proven, batch: int) -> Tensors:
    """Every state at zeros, for `batch` rows."""
    return {
        each.name: torch.zeros(
            [batch * each.fold if axis == "batch" else int(axis) for axis in each.axes],
            dtype=getattr(torch, each.dtype),
        )
        for each in made.manifest.spec.states
    }


def start(made: Proven, batch: int) -> Tensors:
    """Where `batch` sessions start."""
    found, stored = zeros(made, batch), load(made.files.get(INITIAL_FILE, _NOTHING))
    for each in made.manifest.spec.states:
        if each.has_initial:
            value = stored[each.name]
            if each.batch_axis is not None and each.fold == 1:
                value = torch.stack([value] * batch, each.batch_axis)
            elif each.batch_axis is not None:
                value = torch.cat([value] * batch, each.batch_axis)
            found[each.name] = value
    return found


@cache
def _onnx(data: bytes) -> ort.InferenceSession:
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"])


@cache
def _torchscript(data: bytes) -> Any:
    with warnings.catch_warnings():
        # torch.jit.load announces its own deprecation.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]


def _run(kind: ProgramKind, data: bytes, given: Tensors, names: list[str]) -> Tensors:
    if kind == "onnx":
        feed = {name: each.numpy() for name, each in given.items()}
        found = [torch.from_numpy(each) for each in _onnx(data).run(names, feed)]
    else:
        with torch.inference_mode():
            found = _torchscript(data)(*given.values())
    return dict(zip(names, found, strict=True))
