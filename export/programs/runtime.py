"""Programs loaded from their bytes, on one thread of the CPU; tensors in and out by name."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import onnxruntime as ort
import torch

from carousel.export.programs.checked import Checked
from carousel.export.threads import onednn
from carousel.models.manifest import ProgramKind
from carousel.models.onnx_file import check_onnx
from carousel.models.script_code import load_script
from carousel.models.spec import ModelSpec

Tensors = dict[str, torch.Tensor]
Call = Callable[[Tensors], Tensors]

FILES: Mapping[ProgramKind, str] = {"onnx": "model.onnx", "torchscript": "model.ts"}


def load_call(kind: ProgramKind, data: bytes, spec: ModelSpec, lengths: str | None = None) -> Call:
    """What a program answers, run as a server runs it: ONNX by name, TorchScript by place.

    Raises what the runtime raises, and for what a server refuses OnnxRefused or ScriptRefused.
    """
    given = [each.name for each in (*spec.inputs, *spec.program_states)]
    given += [] if lengths is None else [lengths]
    wanted = [each.name for each in spec.outputs]
    wanted += [each.output for each in spec.states if each.output is not None]
    if kind == "onnx":
        session = open_session(data)
        types = {each.name: each.type for each in session.get_inputs()}
        wide = [name for name in given if name == lengths and types[name] == "tensor(int64)"]
        return lambda values: run_session(
            session, given, wanted, values | {name: values[name].long() for name in wide}
        )
    module = load_script(torch, data, "cpu")
    graph: Any = module.inlined_graph
    has_lstm = bool(graph.findAllNodes("aten::lstm"))
    ran: set[tuple[torch.Size, ...]] = set()  # what needs no check any more

    def call(values: Tensors) -> Tensors:
        # Copies: a program that writes into its input must not spoil the expected values.
        copies = [values[name].clone(memory_format=torch.contiguous_format) for name in given]
        sizes = tuple(each.shape for each in copies)
        checked = Checked() if has_lstm and sizes not in ran else None
        with torch.no_grad(), onednn(True), checked or nullcontext():
            found = module(*copies)
        if checked is not None and not checked.by_values:
            ran.add(sizes)
        return dict(zip(wanted, found, strict=True))

    return call


def open_session(data: bytes) -> ort.InferenceSession:
    """A session of this file; raises what ONNX Runtime raises, and OnnxRefused."""
    check_onnx(data)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 4  # what goes wrong is raised as well
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_session(
    session: ort.InferenceSession, given: Sequence[str], wanted: Sequence[str], values: Tensors
) -> Tensors:
    """The outputs `wanted` of one run."""
    found = session.run(list(wanted), {name: values[name].numpy() for name in given})
    return {name: torch.from_numpy(each) for name, each in zip(wanted, found, strict=True)}
