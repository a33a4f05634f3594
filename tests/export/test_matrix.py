"""Every recurrent layer of torch, in every variant, exports and equals eager PyTorch."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from carousel.export.measured.parity import BATCHES, TIMES
from carousel.export.measured.subject import LONG
from tests.harness.export_run import proven, run

KINDS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn-tanh": nn.RNN,
    "rnn-relu": lambda *sizes, **flags: nn.RNN(*sizes, nonlinearity="relu", **flags),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "lstm-proj": lambda *sizes, **flags: nn.LSTM(*sizes, proj_size=3, **flags),
}
CELLS: list[Callable[..., nn.RNNCellBase]] = [nn.RNNCell, nn.LSTMCell, nn.GRUCell]
VARIANTS = list(itertools.product(KINDS, (1, 2, 3), (True, False), (True, False), (True, False)))


def _layer(
    kind: str, layers: int, bias: bool, batch_first: bool, bidirectional: bool
) -> nn.RNNBase:
    torch.manual_seed(layers)
    return KINDS[kind](
        *(5, 7, layers),
        bias=bias,
        batch_first=batch_first,
        bidirectional=bidirectional,
        dropout=0.5 if layers > 1 else 0.0,
    )


@pytest.mark.parametrize(("kind", "layers", "bias", "batch_first", "bidirectional"), VARIANTS)
def test_every_variant_of_a_layer_equals_eager(
    kind: str, layers: int, bias: bool, batch_first: bool, bidirectional: bool
) -> None:
    """Both programs are within the bound at every size, ragged in ONNX, streaming as it should."""
    layer = _layer(kind, layers, bias, batch_first, bidirectional)
    made = proven(layer, torch.randn(4, 4, 5))
    manifest = made.manifest
    assert set(manifest.programs) == {"onnx", "torchscript"}
    for program in manifest.programs:
        sizes = {
            (case.batch, case.time)
            for case in manifest.parity.cases
            if case.program == program and case.check == "whole"
        }
        assert sizes == {*itertools.product(BATCHES, TIMES), (1, LONG)}
    assert all(case.error <= case.bound for case in manifest.parity.cases)
    assert manifest.programs["onnx"].ragged == "exact"
    assert manifest.spec.streaming == ("none" if bidirectional else "step")


@pytest.mark.parametrize(("kind", "batch_first"), list(itertools.product(KINDS, (True, False))))
def test_a_layer_starts_from_any_state(kind: str, batch_first: bool) -> None:
    """At a size that no measurement used, from random states, each program equals eager."""
    layer = _layer(kind, 2, True, batch_first, False).eval()
    made = proven(layer, torch.randn(2, 3, 5))
    x = torch.randn(5, 11, 5) if batch_first else torch.randn(11, 5, 5)  # B=5, T=11
    states = {
        each.name: torch.randn([5 if axis == "batch" else int(axis) for axis in each.axes])
        for each in made.manifest.spec.states
    }
    pair = tuple(states[name] for name in ("h", "c") if name in states)
    with torch.no_grad():
        output, final = layer(x, pair if len(pair) == 2 else pair[0])
    finals = final if isinstance(final, tuple) else (final,)
    for program in made.manifest.programs:
        lengths = [11] * 5 if program == "onnx" else None
        answer = run(made, program, {"input": x}, states, lengths)
        torch.testing.assert_close(answer.outputs["output"], output, atol=1e-5, rtol=1e-5)
        for found, wanted in zip(answer.states.values(), finals, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_a_bare_cell_becomes_the_equal_network(
    kind: Callable[..., nn.RNNCellBase], bias: bool
) -> None:
    """The programs run whole sequences and equal the cell stepped by hand."""
    torch.manual_seed(3)
    cell = kind(5, 7, bias=bias)
    made = proven(cell, torch.randn(4, 5))
    assert made.manifest.spec.inputs[0].axes == ("time", "batch", 5)
    assert b"LSTM" in made.files["model.onnx"] or kind is not nn.LSTMCell
    x = torch.randn(9, 2, 5)  # (T, B, F)
    state = None
    expected = []
    with torch.no_grad():
        for step in x:
            state = cell(step, state)
            expected.append(state[0] if isinstance(state, tuple) else state)
    start = {each.name: torch.zeros(1, 2, 7) for each in made.manifest.spec.states}
    for program in made.manifest.programs:
        lengths = [9, 9] if program == "onnx" else None
        answer = run(made, program, {"input": x}, start, lengths)
        torch.testing.assert_close(
            answer.outputs["output"], torch.stack(expected), atol=1e-5, rtol=1e-5
        )
