"""Files and flags that are refused: what was found is said, the flag that decides is named, and
nothing is written.
"""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from safetensors.numpy import save_file

from carousel.export.__main__ import main
from tests.export.imported.foreign.files import onnx_bytes, script_bytes
from tests.export.imported.foreign.models import half, predictor
from tests.export.imported.foreign.nets import Half, Hides
from tests.export.imported.refused_models import (
    Attends,
    Coupled,
    Grows,
    Unused,
    exported,
    external,
    graph,
    half_lstm,
    hostile,
    needs_code,
    saved,
    swappable,
)

NO_MODEL: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "text": (lambda _: b"not a model", "neither ONNX nor TorchScript"),
    "nothing": (lambda _: b"", "neither ONNX nor TorchScript"),
    "noise": (
        lambda _: np.random.default_rng(0).bytes(4096),
        "neither ONNX nor TorchScript",
    ),
    "a pickle": (lambda _: pickle.dumps({}), "a pickle, which is never loaded"),
    "weights": (lambda _: saved({"w": torch.ones(2)}), "weights, and not the model"),
    "ORT's own format": (lambda _: b"\0\0\0\0ORTM" + b"\0" * 64, "ONNX Runtime's own format"),
    "Keras": (lambda _: b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a cut TorchScript": (lambda _: script_bytes(Half())[:900], "neither ONNX nor TorchScript"),
    "a cut ONNX": (lambda _: half().data[:400], "neither ONNX nor TorchScript"),
    "external data": (external, "'weight' lies in another file"),
    "a custom operator": (
        lambda _: graph(helper.make_node("Fancy", ["x"], ["y"], domain="my.ops"), domain="my.ops"),
        "operators that ONNX Runtime has not: my.ops::Fancy",
    ),
    "an unknown operator": (
        lambda _: graph(helper.make_node("Fancy", ["x"], ["y"])),
        "ONNX Runtime refuses the file",
    ),
    "a float16 LSTM": (half_lstm, "LSTM 'rnn' computes in float16"),
    "random numbers": (
        lambda _: graph(helper.make_node("RandomNormalLike", ["x"], ["y"])),
        "two runs on the same input differ",
    ),
    "code from outside": (needs_code, "the file needs code that is not in it"),
}


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Imports bytes, expects a refusal that writes nothing, and gives what was said."""

    def run(data: bytes, *flags: str, code: int = 1) -> str:
        path, repository = tmp_path / "file", tmp_path / "models"
        path.write_bytes(data)
        given = ["import", f"{path}", "--name", "m", "--model-repository", f"{repository}"]
        assert main([*given, "--quiet", *flags]) == code
        assert not repository.exists() or not list(repository.rglob("*.json"))
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize("what", NO_MODEL)
def test_what_cannot_be_served_is_refused(
    what: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    """The reason names what was found, and the way out what to do."""
    make, words = NO_MODEL[what]
    folder = tmp_path / "made"
    folder.mkdir()
    shapes = ("--input", "signal:int32:batch,4", "--input", "state:float16:batch,6")
    said = refused(make(folder), *(shapes if what == "code from outside" else ()))
    assert words in said
    assert "Way out: " in said


def test_states_that_names_do_not_tell_apart_are_refused(refused: Callable[..., str]) -> None:
    """Without a time axis no run can tell either: the candidates are listed, and the flag."""
    said = refused(hostile("state_a", "state_b", "state_c"))
    assert "state_a from u, v, w" in said
    assert "--state state_a=u or --state state_a=v" in said


def test_inputs_that_may_be_states_are_refused(refused: Callable[..., str]) -> None:
    """Where nothing is called a state, inputs that could be are not sent by accident."""
    said = refused(hostile("p", "q", "r"))
    assert "p from u, v, w; q from" in said
    assert "x from" not in said
    assert "--sent p if clients send it" in said


def test_a_pair_that_does_not_hold_is_refused(refused: Callable[..., str]) -> None:
    """Over time by its chunks, frame by frame by what handing it on changes."""
    said = refused(swappable("hn", "cn"), "--state", "h=cn", "--state", "c=hn")
    assert "chunks of it differ from the whole" in said
    assert "h=cn, c=hn" in said
    example = {"x": torch.randn(3, 3), "state": torch.randn(3, 3)}
    said = refused(exported(Unused(), ["y", "state_out"], ("b",), **example))
    assert "the pair does not hold: handing on state_out back at state changes nothing" in said
    assert "--sent state" in said


def test_a_state_that_grows_is_refused(refused: Callable[..., str]) -> None:
    """What is longer after every call fits no session's row."""
    example = {"x": torch.randn(2, 1, 3), "cache": torch.randn(2, 4, 3)}
    said = refused(exported(Grows(), ["y", "cache_out"], ("b",), **example))
    assert "cache is called a state" in said
    assert "a state that grows is no stream state" in said


def test_rows_that_are_said_to_be_strangers_and_are_not_are_refused(
    refused: Callable[..., str],
) -> None:
    """A stated batch axis is measured as any other."""
    example = {"x": torch.randn(3, 3), "state": torch.randn(3, 3)}
    data = exported(Coupled(), ["y", "state_out"], ("b",), **example)
    said = refused(data, "--input", "x:float32:batch,3")
    assert "depends on the rows beside it" in said
    assert "--no-batch" in said


def test_an_output_that_follows_no_axis_is_refused(refused: Callable[..., str]) -> None:
    """Weights of every step on every other have no place on the wire, unless left out."""
    axes = {"x": {0: "batch", 1: "time"}}
    data = onnx_bytes(Attends(), {"x": torch.randn(3, 5, 4)}, ["y", "weights"], axes)
    said = refused(data)
    assert "the sizes of the output weights follow neither batch nor time" in said
    assert "--output" in said


def test_a_state_that_was_asked_for_and_is_not_there_is_refused(
    refused: Callable[..., str],
) -> None:
    """The inputs or outputs that there are, or what does not fit, are listed."""
    stateless = graph(helper.make_node("Tanh", ["x"], ["y"]))
    assert "the model has no input 'h'; it has x" in refused(stateless, "--state", "h=y", code=3)
    assert "has no output 'hn'; it has y" in refused(stateless, "--state", "x=hn", code=3)
    assert "every input would be a state (x=y)" in refused(stateless, "--state", "x=y")
    said = refused(predictor().data, "--state", "h=logits")
    assert "logits is torch.float32" in said


def test_hidden_state_names_the_part_that_takes_it(refused: Callable[..., str]) -> None:
    """With and without shapes, by looking and by running."""
    for flags in ((), ("--input", "signal:int32:batch,4")):
        said = refused(script_bytes(Hides()), *flags)
        assert "keeps its state in the attributes kept" in said
        assert "--submodule inner" in said
    assert "name one of inner" in refused(script_bytes(Hides()), "--submodule", "outer")


def test_torchscript_without_shapes_names_what_is_missing(refused: Callable[..., str]) -> None:
    """Each parameter that needs a shape is listed."""
    said = refused(script_bytes(Half()), "--input", "signal:int32:batch,4", code=3)
    assert "--input NAME:DTYPE:AXES (or --constant NAME=VALUE) for state" in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--input", "targets"], "--input: 'targets' cannot be read"),
        (["--input", "targets:int3:batch,1"], "'int3' is not one of"),
        (["--input", "targets:int64:batch,x"], "'batch,x' are no axes"),
        (["--input", "targets:int32:batch,1"], "targets is int64, not int32"),
        (["--input", "targets:int64:batch"], "has 2 axes"),
        (["--input", "targets:int64:batch,2"], "in the file, not ('batch', 2)"),
        (["--input", "targets:int64:time,batch"], "is fixed at 1 in the file"),
        (["--input", "a:int64:1", "--input", "a:int64:2"], "'a' is named twice"),
        (["--input", "a:int64:1"], "no input 'a'; it has targets, h, c"),
        (["--constant", "h"], "--constant: 'h' cannot be read"),
        (["--constant", "targets=0.5"], "targets is int64, which 0.5 is not"),
        (["--constant", "h=1"], "give their sizes with --input"),
        (["--constant", "h=zero"], "--constant: 'h=zero' cannot be read"),
        (["--context", "targets=none"], "--context: 'targets=none' cannot be read"),
        (["--context", "targets=8"], "no axis of targets is longer"),
        (["--context", "targets=1@7"], "--context: targets has 2 axes"),
        (["--range", "targets=9..1"], "--range: 'targets=9..1' cannot be read"),
        (["--state", "h"], "--state: 'h' cannot be read"),
        (["--state", "h=hn", "--fixed", "h"], "--fixed: 'h' is named by --state already"),
        (["--state", "h=hn", "--state", "c=hn"], "one output is named for two states"),
        (["--state", "h=hn", "--output", "hn"], "'hn' is named by --state already"),
        (["--output", "nothing"], "no output 'nothing'"),
        (["--initial", "nowhere"], "--initial: nowhere cannot be read"),
    ],
)
def test_bad_flags_leave_with_three(
    flags: list[str], words: str, refused: Callable[..., str]
) -> None:
    """Each says which flag was wrong and what was expected."""
    assert words in refused(predictor().data, *flags, code=3)


def test_submodules_are_of_torchscript(refused: Callable[..., str]) -> None:
    """The flag is refused where it decides nothing."""
    assert "--submodule is for TorchScript" in refused(half().data, "--submodule", "inner")


def test_initial_values_must_fit(refused: Callable[..., str], tmp_path: Path) -> None:
    """Their names are states' and their shapes a session's."""
    for tensors, words, code in (
        ({"state": np.zeros(7, np.float16)}, "--initial: state is (7,)", 3),
        ({"other": np.zeros(6, np.float16)}, "--initial: 'other' is no state", 3),
    ):
        save_file(tensors, tmp_path / "initial")
        assert words in refused(half().data, "--initial", f"{tmp_path / 'initial'}", code=code)
