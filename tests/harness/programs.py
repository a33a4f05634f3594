"""Small real models in every layout that a spec can hold, their programs, and the eager answers.

Expected values come from the module itself, run alone on one row; the way between wire layout and
the module's own is written here a second time, so that the service's is checked against it.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.numpy import save as save_safetensors
from torch import nn

from carousel.models.manifest import FORMAT, Manifest, Parity, Program, ProgramKind, Ragged
from carousel.models.row import Array
from carousel.models.spec import BATCH, TIME, ModelSpec, TensorSpec

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Case:
    """A module whose forward takes the spec's inputs, then its states, and gives outputs, states.

    `initial`: initial values by state name, in session shape, where they are not zero. `ragged`
    wires `lengths` into the ONNX program's recurrent nodes.
    """

    module: nn.Module
    spec: ModelSpec
    initial: Arrays = field(default_factory=dict)
    ragged: bool = False

    def start(self) -> Arrays:
        """The state that a sequence starts from."""
        return {
            each.name: self.initial.get(each.name, np.zeros(each.session_shape, each.dtype))
            for each in self.spec.states
        }

    def eager(self, inputs: Arrays, num_steps: int, states: Arrays) -> tuple[Arrays, Arrays]:
        """What the module answers to one sequence, alone: outputs in wire layout, new states."""
        if not self.spec.is_framed:
            return self._call(inputs, num_steps, states)
        frames: list[Arrays] = []
        for step in range(num_steps):
            frame = {name: value[step] for name, value in inputs.items()}
            outputs, states = self._call(frame, 1, states)
            frames.append(outputs)
        return {name: np.stack([each[name] for each in frames]) for name in frames[0]}, states

    def _call(self, inputs: Arrays, num_steps: int, states: Arrays) -> tuple[Arrays, Arrays]:
        given = [
            np.full(each.model_shape(1, num_steps), each.constant, each.dtype)
            if each.constant is not None
            else _to_model(each, inputs[each.name])
            for each in self.spec.inputs
        ]
        given += [
            states[each.name].reshape(each.model_shape(each.fold, 1)) for each in self.spec.states
        ]
        with torch.no_grad():
            found = list(self.module(*(torch.from_numpy(each.copy()) for each in given)))
        outputs = {
            each.name: _to_wire(each, value.numpy())
            for each, value in zip(self.spec.outputs, found, strict=False)
        }
        left = iter(found[len(self.spec.outputs) :])
        after = {
            each.name: states[each.name]
            if each.fixed
            else next(left).numpy().reshape(each.session_shape)
            for each in self.spec.states
        }
        return outputs, after

    def artifact(
        self, *, name: str = "tiny", kinds: Sequence[ProgramKind] = ("onnx", "torchscript")
    ) -> tuple[Manifest, dict[str, bytes]]:
        """Its manifest and files, ready for Repository.add."""
        rows = 3 if self.spec.has_batch else 1
        given = self._example(rows)
        with torch.no_grad():
            found = self.module(*(each.clone() for each in given))
        files = {"golden.safetensors": save_safetensors(self._golden(given, found))}
        if self.initial:
            files["initial.safetensors"] = save_safetensors(self.initial)
        programs: dict[ProgramKind, Program] = {}
        for kind in kinds:
            exact = self.ragged and kind == "onnx"
            ragged: Ragged = "exact" if exact else "equal_length"
            file = "model.onnx" if kind == "onnx" else "model.ts"
            files[file] = (self._onnx if kind == "onnx" else self._torchscript)(given)
            programs[kind] = Program(
                file=file,
                ragged=ragged,
                lengths="lengths" if exact else None,
                tolerance=1e-5,
                max_error=0.0,
            )
        manifest = Manifest(
            format=FORMAT,
            name=name,
            created_at="2026-01-01T00:00:00Z",
            state_id="weights",
            spec=self.spec,
            programs=programs,
            parity=Parity(cases=()),
            golden="golden.safetensors",
            initial="initial.safetensors" if self.initial else None,
            tools={},
            files={},
        )
        return manifest, files

    def _example(self, rows: int, num_steps: int = 4) -> list[torch.Tensor]:
        """Arguments of the module in its own layout: small numbers, all different."""
        given: list[torch.Tensor] = []
        for each in self.spec.inputs:
            shape = each.model_shape(rows, num_steps)
            if each.constant is not None:
                given.append(torch.full(shape, each.constant, dtype=getattr(torch, each.dtype)))
            else:
                given.append(_numbers(each, shape, each.high))
        for state in self.spec.states:
            shape = state.model_shape(rows * state.fold, 1)
            first = self.initial.get(state.name)
            given.append(
                _numbers(state, shape)
                if first is None
                else torch.from_numpy(np.broadcast_to(first, shape).copy())
            )
        return given

    def _golden(self, given: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> Arrays:
        spec = self.spec
        names = [f"input.{each.name}" for each in spec.inputs]
        names += [f"state.{each.name}" for each in spec.states]
        results = [f"output.{each.name}" for each in spec.outputs]
        results += [f"state_out.{each.name}" for each in spec.states if not each.fixed]
        pairs = [*zip(names, given, strict=True), *zip(results, found, strict=True)]
        return {name: np.ascontiguousarray(value.numpy()) for name, value in pairs}

    def _torchscript(self, given: Sequence[torch.Tensor]) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the deprecated tracer; the service's are not
            traced: Any = torch.jit.trace(self.module, tuple(given))  # type: ignore[no-untyped-call]
            buffer = io.BytesIO()
            torch.jit.save(traced, buffer)
        return buffer.getvalue()

    def _onnx(self, given: Sequence[torch.Tensor]) -> bytes:
        spec = self.spec
        tensors: dict[str, TensorSpec] = {each.name: each for each in (*spec.inputs, *spec.states)}
        results: dict[str, TensorSpec] = {each.name: each for each in spec.outputs}
        results |= {each.output: each for each in spec.states if each.output is not None}
        varying = {
            name: {
                place: f"{name}.{axis}" if axis == BATCH else axis
                for place, axis in enumerate(each.axes)
                if axis in (BATCH, TIME)
            }
            for name, each in (tensors | results).items()
        }
        buffer: Any = io.BytesIO()  # torch takes one, though its annotations do not say so
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the deprecated exporter; the service's are not
            torch.onnx.export(
                self.module,
                tuple(given),
                buffer,
                input_names=list(tensors),
                output_names=list(results),
                dynamic_axes={name: axes for name, axes in varying.items() if axes},
                opset_version=17,
                dynamo=False,
            )
        written: bytes = buffer.getvalue()
        return _wire_lengths(written) if self.ragged else written


def _wire_lengths(data: bytes) -> bytes:
    """One more input, `lengths`, into every recurrent node's `sequence_lens`."""
    model = onnx.load_from_string(data)
    lengths = onnx.helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ["rows"])
    model.graph.input.append(lengths)
    for node in model.graph.node:
        if node.op_type in ("LSTM", "GRU", "RNN"):
            node.input[4] = "lengths"
    wired: bytes = model.SerializeToString()
    return wired


def _numbers(spec: TensorSpec, shape: tuple[int, ...], high: int | None = None) -> torch.Tensor:
    count = int(np.prod(shape))
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if not dtype.is_floating_point:
        return (torch.arange(count) % ((high or 4) + 1)).to(dtype).reshape(shape)
    return (torch.sin(torch.arange(count, dtype=torch.float32)) / 2).to(dtype).reshape(shape)


def _to_model(spec: TensorSpec, value: Array) -> Array:
    """One row in wire layout as the module takes it, a batch of one."""
    rest = [axis for axis in spec.axes if axis != BATCH]
    if TIME in rest:
        value = np.moveaxis(value, 0, rest.index(TIME))
    return value if spec.batch_axis is None else np.expand_dims(value, spec.batch_axis)


def _to_wire(spec: TensorSpec, value: Array) -> Array:
    """The way back."""
    rest = [axis for axis in spec.axes if axis != BATCH]
    value = value if spec.batch_axis is None else value.squeeze(spec.batch_axis)
    return np.moveaxis(value, rest.index(TIME), 0) if TIME in rest else value


def random_inputs(spec: ModelSpec, rng: np.random.Generator, num_steps: int) -> Arrays:
    """One sequence in wire layout."""
    inputs: Arrays = {}
    for each in spec.sent_inputs:
        shape = tuple(num_steps if axis == TIME else int(axis) for axis in spec.wire_shape(each))
        if each.high is not None:
            inputs[each.name] = rng.integers(each.low or 0, each.high + 1, shape).astype(each.dtype)
        else:
            inputs[each.name] = rng.standard_normal(shape).astype(each.dtype)
    return inputs


def close(found: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float) -> None:
    """The same names, shapes and dtypes, and the same values within rounding."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert found[name].dtype == value.dtype, name
        np.testing.assert_allclose(
            found[name].astype(np.float64), value.astype(np.float64), atol=tolerance, rtol=0
        )
