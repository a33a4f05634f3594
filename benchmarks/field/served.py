"""An artifact's program as a server runs it: whole sequences, and streams whose state is kept.

It reads the manifest alone, and uses neither the exporter nor the service.
"""

import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
import onnxruntime as ort
import torch

from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind
from carousel.models.spec import BATCH, TIME, Axis, InputSpec, StateSpec

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Named = Mapping[str, Array]


class Served:
    """One program of an artifact; `last` holds the states after the last run."""

    def __init__(self, artifact: Artifact, kind: ProgramKind) -> None:
        self.spec = artifact.manifest.spec
        self.last: dict[str, Array] = {}
        self._program = artifact.manifest.programs[kind]
        self.origins = artifact.manifest.origins or {}
        self._initial = artifact.initial()
        data = artifact.read(self._program.file)
        self._session: ort.InferenceSession | None = None
        if kind == "onnx":
            options = ort.SessionOptions()
            options.log_severity_level = 3
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        else:
            with warnings.catch_warnings():
                # torch would rather load what torch.export writes.
                warnings.filterwarnings("ignore", "`torch.jit.load`", DeprecationWarning)
                self._script = torch.jit.load(BytesIO(data))  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        return f"<Served {self._program.file} states={len(self.spec.states)}>"

    def start(self, batch: int, given: Named) -> dict[str, Array]:
        """The states of a new session for each row: those given, those stored, and zeros."""
        return {
            each.name: given[each.name] if each.name in given else self._first(each, batch)
            for each in self.spec.states
        }

    def takes(self, tensors: Named, batch: int) -> bool:
        """Whether inputs and states have the sizes that the manifest names; others are refused."""
        known = {each.name: each for each in (*self.spec.sent_inputs, *self.spec.states)}
        return all(
            _fits(known[name].axes, array, batch * getattr(known[name], "fold", 1))
            for name, array in tensors.items()
        )

    def steps(self, inputs: Named, otherwise: int) -> int:
        """How many time steps the inputs have; `otherwise` where none of them has a time axis."""
        found = [
            inputs[each.name].shape[each.time_axis]
            for each in self.spec.sent_inputs
            if each.time_axis is not None
        ]
        return max(found, default=otherwise)

    def run(self, inputs: Named, start: Named, batch: int, chunks: Sequence[int]) -> list[Array]:
        """The outputs of a sequence that comes in `chunks` of so many time steps; those of the
        sequence as a whole are the last run's.
        """
        states, parts, done = dict(start), list[list[Array]](), 0
        for steps in chunks:
            cut = {
                each.name: _cut(each, inputs[each.name], done, steps)
                for each in self.spec.sent_inputs
            }
            parts.append(self._call(cut, states, batch, steps))
            done += steps
        self.last = states
        return [
            parts[-1][place]
            if each.time_axis is None
            else np.concatenate([part[place] for part in parts], each.time_axis)
            for place, each in enumerate(self.spec.outputs)
        ]

    def frame(self, inputs: Named, states: dict[str, Array], batch: int) -> list[Array]:
        """The outputs of one run; `states` move on."""
        return self._call(inputs, states, batch, 1)

    def _call(self, inputs: Named, states: dict[str, Array], batch: int, steps: int) -> list[Array]:
        feeds = [(each.name, _value(each, inputs)) for each in self.spec.inputs]
        feeds += [(each.name, states[each.name]) for each in self.spec.states]
        if self._program.lengths is not None:
            feeds.append((self._program.lengths, np.full(batch, steps, np.int32)))
        changing = [each for each in self.spec.states if each.output is not None]
        names = [each.name for each in self.spec.outputs]
        names += [each.output for each in changing if each.output is not None]
        if self._session is not None:
            results = list(self._session.run(names, dict(feeds)))
        else:
            with torch.no_grad():
                # A copy of each, as a server that gathers rows has: a program may write into it.
                given = self._script(*(torch.from_numpy(array.copy()) for _, array in feeds))
            given = given if isinstance(given, tuple) else (given,)
            results = [each.numpy() for each in given]
        count = len(self.spec.outputs)
        states.update(zip((each.name for each in changing), results[count:], strict=True))
        return results[:count]

    def _first(self, state: StateSpec, batch: int) -> Array:
        sizes = [batch * state.fold if axis == BATCH else int(axis) for axis in state.axes]
        stored = self._initial.get(state.name)
        if stored is None:
            return np.zeros(sizes, state.dtype)
        if state.batch_axis is None:
            return stored
        one = list(sizes)
        one[state.batch_axis] = state.fold
        repeats = [batch if place == state.batch_axis else 1 for place in range(len(sizes))]
        return np.tile(stored.reshape(one), repeats)


def _fits(axes: Sequence[Axis], array: Array, batch: int) -> bool:
    if len(axes) != array.ndim:
        return False
    sizes = zip(axes, array.shape, strict=True)
    return all(axis == TIME or size == (batch if axis == BATCH else axis) for axis, size in sizes)


def _value(spec: InputSpec, inputs: Named) -> Array:
    return inputs[spec.name] if spec.constant is None else np.array(spec.constant, spec.dtype)


def _cut(spec: InputSpec, array: Array, done: int, steps: int) -> Array:
    """The part of an input that belongs to the next `steps` time steps."""
    if spec.counts_steps:
        return np.clip(array - done, 0, steps).astype(array.dtype)
    if spec.time_axis is None:
        return array
    return np.take(array, range(done, done + steps), spec.time_axis)
