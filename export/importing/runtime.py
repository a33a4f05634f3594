"""ONNX Runtime on one thread of the CPU, tensors in and out by name."""

from collections.abc import Sequence

import onnxruntime as ort
import torch

from carousel.export.programs import Tensors


def open_session(data: bytes) -> ort.InferenceSession:
    """A session of this file; raises what ONNX Runtime raises."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_session(
    session: ort.InferenceSession, given: Sequence[str], wanted: Sequence[str], values: Tensors
) -> Tensors:
    """The outputs `wanted` of one run."""
    found = session.run(list(wanted), {name: values[name].numpy() for name in given})
    return {name: torch.from_numpy(each) for name, each in zip(wanted, found, strict=True)}
