"""What once slipped through an export, or broke it, and must not again."""

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tests.export.cases.hostile as hostile
from carousel.export.__main__ import main
from carousel.export.artifact.replay import replay
from carousel.export.errors import ExportError, ExportRefused
from carousel.export.legacy import legacy_quiet
from carousel.models.repository import Repository
from tests.harness.export_run import Tensors, proven, run, zeros

X = torch.randn(4, 9, 6, generator=torch.Generator().manual_seed(1))
ONES = torch.ones(4, 9, dtype=torch.int64)
PACKED = nn.utils.rnn.pack_padded_sequence(X, torch.tensor([9, 7, 4, 2]), batch_first=True)


def quantized() -> nn.Module:
    """A net with int8 layers, as torch makes them."""
    with warnings.catch_warnings():
        # torch.ao.quantization announces its end.
        warnings.simplefilter("ignore")
        net: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            hostile.Net(), {nn.LSTM}, torch.qint8
        )
        return net


def scripted() -> nn.Module:
    """A net whose layer is TorchScript."""
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        return nn.Sequential(torch.jit.script(hostile.Uses(nn.GRU(6, 8, batch_first=True))))


@pytest.mark.parametrize(
    ("module", "example", "words"),
    [
        (hostile.Normalises(), (X,), r"at hostile\.py:\d+ \(forward\)"),
        (hostile.ScalesByNumber(), (X,), "takes values of its inputs out of torch"),
        (hostile.Cell("state first"), (X[:, 0], torch.zeros(4, 8)), "any of output.0, output.1"),
        (hostile.RewritesWeights(), (X,), "rewrites its own weight 'fc.weight'"),
        (hostile.Uses(nn.Embedding(9, 8, max_norm=1.0)), (ONES,), "has max_norm"),
        (hostile.Uses(hostile.OnlyOutput(6, 8)), (X,), "does not return its final state"),
        (hostile.Packs(), (X,), "returns a PackedSequence"),
        (hostile.Uses(nn.LSTM(6, 8)), (PACKED,), "takes a PackedSequence"),
    ],
)
def test_what_cannot_be_proven_is_refused(
    module: nn.Module, example: tuple[torch.Tensor, ...], words: str
) -> None:
    """With the place and the way out."""
    with pytest.raises(ExportRefused, match=words) as refused:
        proven(module, *example)
    assert "Way out: " in str(refused.value)


@pytest.mark.parametrize("make", [quantized, scripted])
def test_layers_that_cannot_be_watched_are_refused(make: object) -> None:
    """Their state would be lost without a word."""
    assert callable(make)
    with pytest.raises(ExportRefused, match="its state cannot be watched"):
        proven(make(), X)


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (hostile.Guarded(), (X,)),
        (hostile.ByRate(), (X, torch.tensor(16000))),
        (hostile.Ignores(), (X, X)),
        (hostile.KeepsHidden(), (X,)),
        (hostile.KeepsInObject(), (X,)),
        (hostile.InPlace(), (X,)),
        (hostile.Tokens(branch=True), (ONES,)),
        (hostile.MaskUnlessFull(), (X, ONES.bool())),
    ],
)
def test_what_only_looked_hard_is_exported(
    module: nn.Module, example: tuple[torch.Tensor, ...]
) -> None:
    """Guards, logs, constants, unread inputs, kept states, what is written in place or saved."""
    made = proven(module, *example)
    assert made.manifest.spec.streaming == "step"
    assert set(made.manifest.programs) == {"onnx", "torchscript"}


@pytest.mark.parametrize("size", [(4, 9), (1, 1)])
def test_an_example_of_one_token_does_not_hide_coupled_rows(size: tuple[int, int]) -> None:
    """Tokens that are all zero make all rows equal; others are drawn."""
    made = proven(hostile.Tokens(mean=True), torch.zeros(size, dtype=torch.int64))
    assert not made.manifest.spec.has_batch
    assert (made.manifest.spec.inputs[0].low, made.manifest.spec.inputs[0].high) == (0, 19)


@pytest.mark.parametrize(("order", "place"), [("dict", "new_hidden"), ("two outputs", 2)])
def test_a_state_as_wide_as_the_outputs_is_found(order: str, place: str | int) -> None:
    """By its name in a dict, or as the last of a tuple; two frames in a row show it."""
    cell = hostile.Cell(order)
    made = proven(cell, X[:, 0], torch.zeros(4, 8))
    with torch.no_grad():
        hidden = cell(X[:, 0], torch.zeros(4, 8))[place]
        expected = cell(X[:, 1], hidden)[place]
    states: Tensors = zeros(made, 4)
    for frame in (X[:, 0], X[:, 1]):
        states = run(made, "onnx", {"x": frame}, states).states
    torch.testing.assert_close(states["hidden"], expected)


def test_negative_ids_are_refused_where_the_module_refuses_them() -> None:
    """ONNX would count them from the end."""
    ids = torch.arange(9).expand(4, 9)[..., None].expand(4, 9, 3).contiguous()
    assert proven(hostile.Categories(), ids).manifest.spec.inputs[0].low == 0


def test_half_precision_leaves_onnx_out() -> None:
    """ONNX Runtime ends the whole process on a float16 layer."""
    made = proven(hostile.Net().half(), X.half())
    assert set(made.manifest.programs) == {"torchscript"}
    assert any("float16" in note for note in made.manifest.parity.skipped)


def test_what_stays_fixed_is_said() -> None:
    """A number of rows that cannot vary is a note, with the module's own words."""
    made = proven(hostile.FixedRows(), X)
    assert any(note.startswith("no batch axis was found") for note in made.manifest.parity.skipped)
    notes = proven(nn.Conv1d(6, 3, 1), torch.randn(4, 6, 9)).manifest.parity.skipped
    assert "no recurrent layer and no state was found: no size but the batch varies" in notes


def test_an_operator_without_onnx_is_a_note_and_no_dump(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is written but what the exporter says itself."""
    made = proven(hostile.Attends(), X)
    assert set(made.manifest.programs) == {"torchscript"}
    assert capfd.readouterr() == ("", "")


def test_random_generators_and_kept_objects_come_back() -> None:
    """Those of Python and NumPy too, and what lies in plain objects and nested containers."""
    kept, logs = hostile.KeepsInObject(), hostile.Guarded()
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    for module in (kept, logs, hostile.Tosses()):
        try:
            proven(module, X)
        except ExportError:
            continue
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]
    assert kept.memory.hidden is None
    assert kept.memory.lengths == []
    assert logs.log == {"mean": []}


def test_rewritten_weights_are_put_back() -> None:
    """A forward that changes its weights is refused and leaves none changed."""
    module = hostile.RewritesWeights()
    before = module.fc.weight.detach().clone()
    with pytest.raises(ExportRefused):
        proven(module, X)
    assert torch.equal(module.fc.weight, before)


CODE = """
from torch import nn
number = 3
def needs(size): return nn.GRU(size, 8)
def broken(): raise RuntimeError("my own bug")
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hostile_nets:number",), "TypeError: 'int' object is not callable"),
        (("hostile_nets:needs",), "needs() missing 1 required positional argument"),
        (("hostile_nets:broken",), "RuntimeError: my own bug"),
        (("hostile_syntax:net",), "SyntaxError: "),
        (("torch.nn:Identity", "--weights", "junk.pt"), "not a file of weights alone"),
        (("torch.nn:Identity", "--weights", "checkpoint.pt"), "which may be what 'model' holds"),
        (("torch.nn:Identity", "--model-repository", "junk.pt/x"), "junk.pt is not a folder"),
    ],
)
def test_the_command_line_explains_itself(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No traceback: one line that says what was wrong, and code 3."""
    monkeypatch.chdir(tmp_path)
    Path("hostile_nets.py").write_text(CODE)
    Path("hostile_syntax.py").write_text("def net(:")
    Path("junk.pt").write_bytes(b"junk" * 100)
    torch.save({"model": {"weight": X}, "epoch": 3}, "checkpoint.pt")
    common = ("--name", "net", "--model-repository", "repository", "--input", "input=4,6")
    assert main([arguments[0], *common, *arguments[1:]]) == 3
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert not Path("repository").exists()


def test_a_program_that_writes_into_its_input_spoils_no_other(tmp_path: Path) -> None:
    """The golden example is read by one program after the other."""
    made = proven(hostile.InPlace(), X)
    artifact = Repository(tmp_path).add(made.manifest, made.files)
    with legacy_quiet():
        assert replay(artifact) == []
