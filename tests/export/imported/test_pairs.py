"""Pairs that names only seem to tell: refused with the candidates, imported as flags say."""

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from carousel.export.errors import ExportRefused
from carousel.export.files.program import check_defaults
from carousel.export.options import Options
from tests.export.imported.foreign.doubtful import Buffered, Enhances, Halved
from tests.export.imported.foreign.files import onnx_bytes, script_bytes
from tests.export.imported.outcome import Outcome, run_import

Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Imports bytes with flags."""
    return lambda data, *flags: run_import(tmp_path, data, *flags)


class Conditioned(nn.Module):
    """No state at all."""

    def forward(self, x: Tensor, cond: Tensor) -> tuple[Tensor, ...]:
        """Both (B, 8)."""
        both = torch.tanh(x + cond)
        return both, both[:, :1]


class Layers(nn.Module):
    """Two states of one shape, the second fed by the first."""

    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        """x (B, 5), both states (B, 5)."""
        first = torch.tanh(0.5 * first + x)
        second = torch.tanh(0.25 * second - first)
        return second[:, :3], first, second


class Attends(nn.Module):
    """What is called a state, or a lone letter, is sent and never changes."""

    def forward(self, x: Tensor, given: Tensor) -> tuple[Tensor, ...]:
        """Both (B, 5)."""
        attended = torch.tanh(x[:, :1] + given)
        return attended, attended[:, :3]


class Renamed(nn.Module):
    """As TorchScript has it: parameters by name, outputs by number."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 4), state (B, 5)."""
        state = torch.tanh(x[:, :1] + state)
        return state, state[:, :3]


class Stacked(nn.Module):
    """A recurrent layer over time for each state."""

    def __init__(self, count: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.RNN(4, 4, bidirectional=bidirectional) for _ in range(count))

    def forward(self, sig: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """sig (T, B, 4), states (1, B, 4)."""
        after = []
        for layer, state in zip(self.layers, states, strict=True):
            sig, last = layer(sig, state)
            after.append(last)
        return sig, *after


def frames(module: nn.Module, outputs: list[str], **sizes: int) -> bytes:
    """ONNX of inputs (N, size)."""
    example = {name: torch.zeros(3, size) for name, size in sizes.items()}
    return onnx_bytes(module, example, outputs, {name: {0: "N"} for name in sizes})


def stacked(states: Sequence[str], outputs: Sequence[str], bidirectional: bool = False) -> bytes:
    """ONNX of layers over time whose states and their new values are called so."""
    rows = 2 if bidirectional else 1
    example = {"sig": torch.zeros(5, 3, 4)} | dict.fromkeys(states, torch.zeros(rows, 3, 4))
    axes = {"sig": {0: "T", 1: "N"}} | {name: {1: "N"} for name in states}
    torch.manual_seed(0)
    module = Stacked(len(states), bidirectional)
    return onnx_bytes(module, example, ["res", *outputs], axes)


def pairs(outcome: Outcome) -> dict[str, str | None]:
    """Each state and the output that it comes back as."""
    return {each.name: each.output for each in outcome.artifact.manifest.spec.states}


def flags(*pairs: str) -> list[str]:
    """--state for each pair."""
    return [part for pair in pairs for part in ("--state", pair)]


def test_what_clients_send_is_no_state_by_its_name(run: Run) -> None:
    """The audio of a denoiser comes out under its own name, and is heard all the same."""
    data = frames(Enhances(), ["audio_out", "mem_out", "vad"], audio=8, mem=5, gain=8)
    assert pairs(run(data)) == {"mem": "mem_out"}
    said = run(data, "--sent", "audio", "--sent", "gain", *flags("mem=mem_out"))
    assert pairs(said) == {"mem": "mem_out"}
    assert pairs(run(frames(Conditioned(), ["x_out", "score"], x=8, cond=8))) == {}


@pytest.mark.parametrize(
    ("states", "outputs"),
    [
        (("state_0", "state_1"), ("state_out_1", "state_out_2")),
        (("h_0", "h_1"), ("h_n_1", "h_n_2")),
        (("h0", "h1"), ("hn1", "hn2")),
    ],
)
def test_numbers_that_begin_elsewhere_pair_nothing(
    states: tuple[str, str], outputs: tuple[str, str], run: Run
) -> None:
    """One name in common does not tell that pair, and never the other by what is left."""
    data = frames(Layers(), ["y", *outputs], **dict.fromkeys(("x", *states), 5))
    found = run(data)
    assert found.code == 1
    assert f"{states[0]} from {outputs[0]}, {outputs[1]}" in found.said
    assert f"{states[1]} from {outputs[0]}, {outputs[1]}" in found.said
    expected = dict(zip(states, outputs, strict=True))
    said = flags(*(f"{name}={output}" for name, output in expected.items()))
    assert pairs(run(data, *said)) == expected
    assert pairs(run(data, *said[:2])) == expected


def test_numbers_that_begin_elsewhere_are_told_by_running_over_time(run: Run) -> None:
    """The pairs that names seem to tell do not hold in chunks, and those that do are taken."""
    data = stacked(["state_0", "state_1"], ["state_out_1", "state_out_2"])
    assert pairs(run(data)) == {"state_0": "state_out_1", "state_1": "state_out_2"}


@pytest.mark.parametrize("name", ["encoder_state", "c", "h"])
def test_the_only_output_of_a_shape_may_be_the_answer(name: str, run: Run) -> None:
    """Without a time axis its name must say that it is a state's, or at least nothing else."""
    found = run(frames(Attends(), ["attended", "y"], **{"x": 4, name: 5}))
    assert found.code == 1
    assert f"{name} from attended" in found.said
    assert f"--sent {name}" in found.said


def test_the_first_output_of_a_script_may_be_the_answer(run: Run) -> None:
    """Its outputs have no names; what comes first is no state for being alone of its shape."""
    given = ("--input", "x:float32:batch,4", "--input", "state:float32:batch,5")
    data = script_bytes(Renamed())
    found = run(data, *given)
    assert found.code == 1
    assert "state from output_0" in found.said
    assert pairs(run(data, *given, *flags("state=output_0"))) == {"state": "output_0"}


def test_a_new_value_of_another_dtype_is_named(run: Run) -> None:
    """It is not passed over for an output of the right dtype, nor is its state sent."""
    data = frames(Halved(), ["y", "hn"], x=4, h=4)
    for flags_given in ((), ("--output", "y")):
        found = run(data, *flags_given)
        assert found.code == 1
        assert "hn has its axes and is float16, not float32" in found.said


def test_a_state_beside_others_is_not_sent_by_accident(run: Run) -> None:
    """What has an output of its own name is asked for, though something else is called a state."""
    data = frames(Buffered(), ["y", "hn", "buf_out"], x=4, h=6, buf=5)
    found = run(data)
    assert found.code == 1
    assert "buf from buf_out" in found.said
    assert pairs(run(data, *flags("buf=buf_out"))) == {"h": "hn", "buf": "buf_out"}
    assert pairs(run(data, "--sent", "buf")) == {"h": "hn"}


def test_a_state_beside_others_is_found_over_time(run: Run) -> None:
    """Where the states that are called so do not hold alone, others may be states with them."""
    assert pairs(run(stacked(["h", "in1"], ["hn", "zz"]))) == {"h": "hn", "in1": "zz"}


def test_a_new_value_is_not_served_by_accident(run: Run) -> None:
    """--output with the new value of a state would leave clients to send it."""
    data = frames(Buffered(), ["y", "hn", "buf_out"], x=4, h=6, buf=5)
    for served in (["--output", "y", "--output", "hn"], ["--output", "hn"]):
        found = run(data, *served)
        assert found.code == 1
        assert "--output names hn, which may be the new value of the state h" in found.said
        assert "--sent h" in found.said
    assert run(data, "--output", "y", "--output", "y").code == 3


def test_what_is_sent_though_it_could_be_a_state_is_said(run: Run) -> None:
    """Names that say nothing do not hinder an import; the flag is named beside what was found."""
    data = frames(Buffered(), ["y", "hn", "zz"], x=4, h=6, buf=5)
    found = run(data)
    assert pairs(found) == {"h": "hn"}
    assert "--state buf=zz if it is a state" in found.said
    assert "if it is a state" not in run(data, "--sent", "buf").said


def test_a_state_with_a_value_inside_the_file_is_refused() -> None:
    """Nobody would give it, and every run would start from that value; weights are no states."""
    for names, wishes in ((["h"], Options()), (["g"], Options(states={"g": "hn"}))):
        with pytest.raises(ExportRefused, match=f"the input {names[0]} has a value inside"):
            check_defaults(names, ["y", "hn"], wishes)
    check_defaults(["hidden.weight", "g"], ["y", "hn"], Options())


def test_more_ways_than_are_tried_are_refused(run: Run) -> None:
    """No part of them is tried, and no reading with fewer states is taken for it."""
    states, outputs = ([f"{kind}{index}" for index in range(5)] for kind in ("in", "zz"))
    data = stacked(states, outputs[::-1])
    found = run(data)
    assert found.code == 1
    assert "more than 720 ways to try: in0 from zz4, zz3, zz2, zz1, zz0" in found.said
    said = flags(*(f"{name}={out}" for name, out in zip(states[:2], outputs[:2:-1], strict=True)))
    assert len(pairs(run(data, *said))) == 5


def test_what_looks_like_a_state_and_holds_in_no_chunks_is_said(run: Run) -> None:
    """Both directions need the whole sequence: plain inference, and why."""
    found = run(stacked(["in0"], ["zz"], bidirectional=True))
    assert found.artifact.manifest.spec.states == ()
    assert "no pair of an input and an output holds when run: with the states in0=zz" in found.said


def test_an_output_that_is_there_twice_is_refused(run: Run) -> None:
    """A file may name one output twice; an answer cannot."""
    model = onnx.load_from_string(frames(Buffered(), ["y", "hn", "b"], x=4, h=6, buf=5))
    model.graph.output.append(model.graph.output[0])
    found = run(model.SerializeToString())
    assert found.code == 1
    assert "the file names the output y twice" in found.said
