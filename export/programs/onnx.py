"""The ONNX program, made from the trace: native recurrent nodes, names asserted afterwards."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import helper

from carousel.export.legacy import unlogged
from carousel.export.measured.sampling import Axes
from carousel.export.programs import operators, projection, ragged
from carousel.models.spec import BATCH, TIME

_LARGE = 100_000  # numbers in a weight; shapes are made of far fewer


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of the program's graph: its name, its axes, and the fold of `batch`."""

    name: str
    axes: Axes
    fold: int = 1

    def dynamic(self) -> dict[int, str]:
        """Names of the axes that vary, as ONNX knows them."""
        named = {BATCH: "batch" if self.fold == 1 else f"batch_x{self.fold}", TIME: "time"}
        return {
            index: named[axis] for index, axis in enumerate(self.axes) if not isinstance(axis, int)
        }


def export_graph(
    traced: torch.jit.ScriptModule,
    module: torch.nn.Module,
    example: Sequence[torch.Tensor],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
) -> onnx.ModelProto:
    """The trace as an ONNX graph; LSTM layers with projection are placeholders still."""
    buffer = io.BytesIO()
    dynamic: Mapping[str, dict[int, str]] = {
        port.name: port.dynamic() for port in (*inputs, *outputs)
    }
    with (
        torch.no_grad(),
        projection.placeholders(module),
        operators.completed(),
        unlogged(),
        _light_inference(),
    ):
        torch.onnx.export(
            traced,
            tuple(example),
            buffer,  # type: ignore[arg-type]  # any file will do for the TorchScript exporter
            input_names=[port.name for port in inputs],
            output_names=[port.name for port in outputs],
            dynamic_axes={name: axes for name, axes in dynamic.items() if axes},
            opset_version=projection.OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    _restore_unused(model, inputs, example)
    return model


@contextmanager
def _light_inference() -> Iterator[None]:
    """Have shapes inferred without the large weights, whose sizes are known without their values:
    torch would write each of them out for every node that reads it.
    """
    native: Any = torch._C
    infer = native._jit_pass_onnx_graph_shape_type_inference

    def light(graph: Any, weights: Mapping[str, torch.Tensor], opset: int) -> None:
        infer(graph, {name: w for name, w in weights.items() if w.numel() < _LARGE}, opset)

    native._jit_pass_onnx_graph_shape_type_inference = light
    try:
        yield
    finally:
        native._jit_pass_onnx_graph_shape_type_inference = infer


def finish(
    graph: onnx.ModelProto,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    lengths: str | None,
    held: bool,
) -> bytes:
    """The program's bytes, with `lengths` as a further input and outputs held over the padding."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    if lengths is not None:
        ragged.add_lengths(model, lengths)
    projection.expand(model, lengths)
    if held and lengths is not None:
        ragged.hold(model, lengths)
    _name_axes(model, [*inputs, *outputs])
    names = [port.name for port in inputs] + ([] if lengths is None else [lengths])
    _assert_names("inputs", [each.name for each in model.graph.input], names)
    _assert_names("outputs", [each.name for each in model.graph.output], [p.name for p in outputs])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _restore_unused(
    model: onnx.ModelProto, inputs: Sequence[Port], example: Sequence[torch.Tensor]
) -> None:
    """Declare the inputs that nothing reads, which the trace has dropped, where they belong."""
    known = {each.name: each for each in model.graph.input}
    declared = [
        known.get(port.name)
        or helper.make_tensor_value_info(
            port.name, helper.np_dtype_to_tensor_dtype(tensor.numpy().dtype), tensor.shape
        )
        for port, tensor in zip(inputs, example, strict=True)
    ]
    del model.graph.input[:]
    model.graph.input.extend(declared)


def _name_axes(model: onnx.ModelProto, ports: Sequence[Port]) -> None:
    """Write the measured axes into the graph, where the trace knew the example's sizes only."""
    values = {each.name: each for each in (*model.graph.input, *model.graph.output)}
    for port in ports:
        dimensions = values[port.name].type.tensor_type.shape
        del dimensions.dim[:]
        dynamic = port.dynamic()
        for index, axis in enumerate(port.axes):
            dimension = dimensions.dim.add()
            if isinstance(axis, int):
                dimension.dim_value = axis
            else:
                dimension.dim_param = dynamic[index]


def _assert_names(what: str, found: list[str], expected: list[str]) -> None:
    assert found == expected, f"the graph's {what} are {found}, not {expected}"
