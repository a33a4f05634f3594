"""Files that Carousel did not export, what it is told of them, and what they answer by themselves.

The answers come from ONNX Runtime or torch alone, one caller at a time, with the pairs of states
written down here by hand.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from safetensors.numpy import save_file
from torch import nn

from carousel.models.row import Array

Arrays = dict[str, Array]
Axes = Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Foreign:
    """A file and how one caller runs it.

    `flags`: what the importer is told. `inputs`: the shape of one frame (or of one time step), and
    the highest value where it is an integer. `pairs`: states, the outputs they come back as, None
    where they never do. `start`: first values, as one caller gives them. `batch`: where the batch
    axis of inputs and outputs is, None where there is none; `time` likewise. `context`: how many
    zeros of time stand in front of all. `call` runs a file that is not ONNX.
    """

    name: str
    data: bytes
    inputs: Mapping[str, tuple[tuple[int, ...], str, int]]
    outputs: tuple[str, ...]
    pairs: Mapping[str, str | None]
    start: Arrays
    flags: tuple[str, ...] = ()
    batch: int | None = 0
    time: int | None = None
    context: int = 0
    call: Callable[[Arrays], Arrays] | None = None

    def write(self, folder: Path) -> Path:
        """The file in a folder."""
        path = folder / (f"{self.name}.onnx" if self.call is None else f"{self.name}.pt")
        path.write_bytes(self.data)
        return path

    def write_start(self, folder: Path) -> Path:
        """Its first values, in a folder, as `--initial` takes them."""
        path = folder / f"{self.name}.safetensors"
        save_file(self.start, path)
        return path

    def sequence(self, rng: np.random.Generator, num_steps: int) -> Arrays:
        """What one caller sends, (T, ...) each."""
        found: Arrays = {}
        for name, (shape, dtype, high) in self.inputs.items():
            if high:
                found[name] = rng.integers(0, high + 1, (num_steps, *shape)).astype(dtype)
            else:
                found[name] = rng.standard_normal((num_steps, *shape)).astype(dtype)
        return found

    def answers(self, sequence: Arrays, start: Arrays | None = None) -> Arrays:
        """What the file answers to one caller alone, (T, ...) each."""
        states = {**self.start, **(start or {})}
        if self.time is not None:
            return self._whole(sequence, states)
        frames: list[Arrays] = []
        for step in range(len(next(iter(sequence.values())))):
            feed = {name: self._row(each[step]) for name, each in sequence.items()}
            found = self.run({**feed, **states})
            frames.append({name: self._out(found[name]) for name in self.outputs})
            states = {
                name: states[name] if output is None else found[output]
                for name, output in self.pairs.items()
            }
        return {name: np.stack([each[name] for each in frames]) for name in self.outputs}

    def run(self, feed: Arrays) -> Arrays:
        """One run of the file, in ONNX Runtime or torch."""
        if self.call is not None:
            return self.call(feed)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        session = ort.InferenceSession(self.data, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))

    def _whole(self, sequence: Arrays, states: Arrays) -> Arrays:
        feed: Arrays = {}
        for name, each in sequence.items():
            if self.context:
                each = np.concatenate([np.zeros_like(each[:1]).repeat(self.context, 0), each])
            feed[name] = np.moveaxis(each[:, np.newaxis], (1, 0), (self.batch or 0, self.time or 0))
        found = self.run({**feed, **states})
        return {
            name: np.moveaxis(found[name], (self.batch or 0, self.time or 0), (1, 0))[:, 0]
            for name in self.outputs
        }

    def _row(self, value: Array) -> Array:
        return np.asarray(value if self.batch is None else value[np.newaxis])

    def _out(self, value: Array) -> Array:
        return value if self.batch is None else value[0]


def farthest(found: Any, expected: Any) -> float:
    """The largest difference; infinite where the shapes are not the same, or one is NaN."""
    values, wanted = (np.asarray(each, np.float64) for each in (found, expected))
    if values.shape != wanted.shape:
        return float("inf")
    difference = np.abs(values - wanted).max(initial=0.0)
    return float("inf") if np.isnan(difference) else float(difference)


def onnx_bytes(
    module: nn.Module, example: Mapping[str, torch.Tensor], outputs: list[str], axes: Axes
) -> bytes:
    """A module as ONNX, by torch alone."""
    buffer: Any = io.BytesIO()  # torch takes one, though its annotations do not say so
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the deprecated exporter; the service's are not
        torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            buffer,
            input_names=list(example),
            output_names=outputs,
            dynamic_axes={name: dict(each) for name, each in axes.items()},
            opset_version=17,
            dynamo=False,
        )
    data: bytes = buffer.getvalue()
    return data


def script_bytes(module: nn.Module) -> bytes:
    """A module as TorchScript, by torch alone."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated TorchScript; the service's are not
        torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


def load_script(data: bytes) -> Any:
    """The module in a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated TorchScript; the service's are not
        return torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
