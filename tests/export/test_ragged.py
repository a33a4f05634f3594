"""Rows of mixed lengths in one padded run: exact where the manifest says so."""

from collections.abc import Callable

import onnx
import pytest
import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
import tests.export.cases.traps as traps
from carousel.models.manifest import ProgramKind
from tests.harness.export_run import proven, run, zeros

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
LENGTHS = [6, 1, 3, 9, 2]

EXACT: dict[str, Callable[[], nn.Module]] = {
    "last step": heads.LastStep,
    "final state": heads.FinalState,
    "largest over time": heads.MaxPool,
    "every step": zoo.TwoLayers,
    "computed start": zoo.ComputedStart,
    "encoder and decoder": zoo.EncoderDecoder,
    "projection": lambda: nn.LSTM(6, 8, 2, proj_size=3, batch_first=True),
    "projection, both ways": lambda: nn.LSTM(
        6, 8, 2, proj_size=3, batch_first=True, bidirectional=True
    ),
    "both ways": lambda: nn.GRU(6, 8, 2, batch_first=True, bidirectional=True),
}


def _check(module: nn.Module, program: ProgramKind, *example: torch.Tensor) -> None:
    """A padded run of `module`, infinities in the padding, beside each row alone in eager."""
    made = proven(module, *example)
    assert made.manifest.programs[program].ragged == "exact"
    spec = made.manifest.spec
    name, output = spec.inputs[0].name, spec.outputs[0]
    rows = [torch.randn(length, 6) for length in LENGTHS]
    padded = torch.full((len(rows), max(LENGTHS), 6), float("inf"))
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    answer = run(made, program, {name: padded}, zeros(made, len(rows)), LENGTHS)
    for index, values in enumerate(rows):
        lengths = [torch.tensor([len(values)])] * (len(example) - 1)
        with torch.no_grad():
            whole = module.eval()(values[None], *lengths)
        expected = (whole[0] if isinstance(whole, tuple) else whole)[0]
        found = answer.outputs[output.name][index]
        if output.per == "step":
            found = found[: len(values)]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", EXACT)
def test_rows_of_mixed_lengths_equal_each_row_alone(case: str) -> None:
    """Heads on the last step read the row's own last step, whatever stands in the padding."""
    torch.manual_seed(2)
    _check(EXACT[case](), "onnx", X)


@pytest.mark.parametrize("program", ["onnx", "torchscript"])
def test_a_module_that_packs_takes_the_lengths_of_the_batch(program: ProgramKind) -> None:
    """Its own lengths become the program's, no client sends them, and it streams."""
    torch.manual_seed(2)
    lengths = torch.tensor([5, 3, 2, 4])
    made = proven(heads.Packs(), X, lengths)
    assert [each.name for each in made.manifest.spec.inputs] == ["x"]
    assert made.manifest.programs[program].lengths == "lengths"
    assert made.manifest.spec.streaming == "step"
    _check(heads.Packs(), program, X, lengths)


@pytest.mark.parametrize("make", [heads.LeastInput, heads.NearZero, heads.AttendsInputs])
def test_what_reads_some_padding_only_takes_equal_lengths_only(make: type[nn.Module]) -> None:
    """Zeros, which the engine puts there, and numbers of either sign."""
    torch.manual_seed(2)
    made = proven(make(), X.abs() + 0.5)
    assert {each.ragged for each in made.manifest.programs.values()} == {"equal_length"}


@pytest.mark.parametrize("make", [heads.MeanPool, traps.LookAhead, zoo.DualPath])
def test_what_reads_the_padding_takes_equal_lengths_only(make: type[nn.Module]) -> None:
    """A mean over time cannot be mended from outside: no lengths, and the manifest says so."""
    made = proven(make(), torch.randn(2, 6, 5, 4) if make is zoo.DualPath else X)
    for program in made.manifest.programs.values():
        assert (program.ragged, program.lengths) == ("equal_length", None)


def test_the_torchscript_program_takes_equal_lengths_only() -> None:
    """It has no way to be told lengths, and does not claim any."""
    program = proven(heads.LastStep(), X).manifest.programs["torchscript"]
    assert (program.ragged, program.lengths) == ("equal_length", None)


def test_lengths_are_wired_into_native_nodes() -> None:
    """Every layer is one native node with sequence_lens; nothing is unrolled."""
    made = proven(heads.LastStep(), X)
    graph = onnx.load_model_from_string(made.files["model.onnx"]).graph
    layers = [node for node in graph.node if node.op_type == "LSTM"]
    assert [node.input[4] for node in layers] == ["lengths", "lengths"]
    assert [each.name for each in graph.input] == ["x", "h", "c", "lengths"]
    assert [each.name for each in graph.output] == ["output", "h_out", "c_out"]
    assert graph.input[3].type.tensor_type.elem_type == onnx.TensorProto.INT32


def test_projection_is_one_scan_a_layer_with_the_input_product_outside() -> None:
    """Inside the loop stand two products: of the state, and of the projection."""
    made = proven(nn.LSTM(6, 8, 2, proj_size=3), X)
    model = onnx.load_model_from_string(made.files["model.onnx"])
    scans = [node for node in model.graph.node if node.op_type == "Scan"]
    assert len(scans) == 2
    for scan in scans:
        (body,) = (each.g for each in scan.attribute if each.name == "body")
        assert sum(node.op_type == "MatMul" for node in body.node) == 2
    assert sum(node.op_type == "MatMul" for node in model.graph.node) == 2
    assert {each.domain for each in model.opset_import} == {""}


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    """A model whose own input is called `lengths` gets another name for those of the batch."""

    class Scaled(heads.LastStep):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return super().forward(x) * lengths

    made = proven(Scaled(), X, torch.randn(4, 1))
    assert [each.name for each in made.manifest.spec.inputs] == ["x", "lengths"]
    assert made.manifest.programs["onnx"].lengths == "sequence_lengths"
