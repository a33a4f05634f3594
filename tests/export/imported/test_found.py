"""What the importer finds by running where names and files say nothing, and what it says of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from carousel.export.__main__ import main
from carousel.export.importer import import_model
from carousel.export.options import Context, Stated
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository
from carousel.models.spec import ModelSpec, StateSpec
from tests.export.imported.foreign.files import onnx_bytes
from tests.export.imported.foreign.models import alone, predictor, remembers, scripted
from tests.export.imported.refused_models import Coupled, Swappable, exported, hostile, swappable

Run = Callable[..., Artifact]


@pytest.fixture
def imported(tmp_path: Path) -> Run:
    """Imports bytes on the command line and gives the artifact."""

    def run(data: bytes, *flags: str, quiet: bool = True) -> Artifact:
        (tmp_path / "file").write_bytes(data)
        given = ["import", f"{tmp_path / 'file'}", "--name", "m", *flags]
        given += ["--quiet"] if quiet else []
        assert main([*given, "--model-repository", f"{tmp_path / 'models'}"]) == 0
        return Repository(tmp_path / "models").open("m")

    return run


def pairs(spec: ModelSpec) -> dict[str, str | None]:
    """Each state and the output that it comes back as."""
    return {each.name: each.output for each in spec.states}


class TwoStates(nn.Module):
    """Two states of one shape, frame by frame, that are not worth the same."""

    def forward(self, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        """All (B, 3)."""
        a, b = 0.5 * a + x, 0.25 * b - a
        return a + 3 * b, a, b


class Counts(nn.Module):
    """A running mean and variance, which is never negative, and how many frames there were."""

    def forward(self, x: Tensor, mean: Tensor, state_var: Tensor) -> tuple[Tensor, ...]:
        """All (B, 3)."""
        mean = 0.9 * mean + 0.1 * x
        var = 0.9 * state_var + 0.1 * (x - mean) ** 2
        return (x - mean) / torch.sqrt(state_var + 1e-3), mean, var


class Peaks(nn.Module):
    """The largest of the last sums."""

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 2), cache (B, 4)."""
        cache = torch.cat([cache[:, 1:], x.sum(1, keepdim=True)], 1)
        return cache.amax(1, keepdim=True), cache


class Pointwise(nn.Module):
    """No state at all."""

    def forward(self, frame: Tensor) -> Tensor:
        """frame (B, 3)."""
        return torch.tanh(frame)


class Chunks(nn.Module):
    """Frames in front of features, four of the last kept."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 4 + 6, 80), state (B, 80)."""
        state = 0.5 * state + x[:, 4:].mean(1) - x[:, :4].mean(1)
        return state * 2, state


def test_running_tells_states_apart_over_time(imported: Run) -> None:
    """Of outputs whose names say nothing the one is taken by which chunks equal the whole."""
    for names, expected in ((("u", "v"), ("u", "v")), (("hidden_a", "hidden_b"),) * 2):
        spec = imported(swappable(*names)).manifest.spec
        assert pairs(spec) == dict(zip("hc", expected, strict=True))
        assert spec.streaming == "step"


def test_inputs_that_are_not_called_states_are_found_over_time(imported: Run) -> None:
    """Neither names nor shapes say what p and q are; only one reading holds."""
    example = {"x": torch.randn(5, 3, 3), "p": torch.zeros(1, 3, 4), "q": torch.zeros(1, 3, 4)}
    axes = {"x": {0: "a", 1: "b"}, "p": {1: "c"}, "q": {1: "d"}}
    spec = imported(onnx_bytes(Swappable(), example, ["y", "u", "v"], axes)).manifest.spec
    assert pairs(spec) == {"p": "u", "q": "v"}
    assert spec.inputs[0].axes == ("time", "batch", 3)


def test_flags_decide_what_names_leave_open(imported: Run) -> None:
    """The same file, its states named by hand."""
    flags = [part for pair in ("p=u", "q=v", "r=w") for part in ("--state", pair)]
    assert pairs(imported(hostile("p", "q", "r"), *flags).manifest.spec) == {
        "p": "u",
        "q": "v",
        "r": "w",
    }


def test_what_is_sent_whatever_it_is_called(imported: Run) -> None:
    """--sent makes a plain input of a state: whole sequences, no session, and the reason."""
    spec = imported(swappable("hn", "cn"), "--sent", "h", "--sent", "c").manifest.spec
    assert [each.name for each in spec.inputs] == ["x", "h", "c"]
    assert (spec.states, spec.streaming) == ((), "none")
    assert spec.streaming_reason == "the model keeps no state"


def test_a_model_without_state_is_plain_inference(imported: Run) -> None:
    """Its free axis is the batch, and what it is was said."""
    data = exported(Pointwise(), ["frame_out"], ("k",), frame=torch.randn(2, 3))
    artifact = imported(data)
    assert artifact.manifest.spec.inputs[0].axes == ("batch", 3)
    assert artifact.manifest.spec.streaming == "none"
    assert "no state was found" in artifact.manifest.parity.skipped[0]


def test_rows_that_depend_on_each_other_run_one_by_one(imported: Run) -> None:
    """A free axis that is no batch axis is held at one row, and the reason is in the manifest."""
    example = {"x": torch.randn(3, 3), "state": torch.randn(3, 3)}
    artifact = imported(exported(Coupled(), ["y", "state_out"], ("b",), **example))
    assert not artifact.manifest.spec.has_batch
    assert artifact.manifest.spec.inputs[0].axes == (1, 3)
    assert artifact.manifest.parity.skipped[0].startswith("one row at a time: a row of")


def test_rows_may_be_held_at_one_by_flag(imported: Run) -> None:
    """--no-batch is believed."""
    assert not imported(predictor().data, "--no-batch").manifest.spec.has_batch


def test_states_that_must_be_positive_are_drawn_so(imported: Run) -> None:
    """A variance below zero is NaN: the model is measured where it works."""
    example = {name: torch.rand(3, 3) for name in ("x", "state_mean", "state_var")}
    data = exported(Counts(), ["y", "state_mean_out", "state_var_out"], ("n",), **example)
    spec = imported(data).manifest.spec
    assert pairs(spec) == {"state_mean": "state_mean_out", "state_var": "state_var_out"}
    assert all(each.finite for each in spec.states)


def test_states_at_infinity_are_said_to_be_so(imported: Run, tmp_path: Path) -> None:
    """A cache that starts at -inf is no poisoned session."""
    save_file({"cache": np.full(4, -np.inf, np.float32)}, tmp_path / "initial")
    example = {"x": torch.randn(3, 2), "cache": torch.zeros(3, 4)}
    data = exported(Peaks(), ["y", "cache_out"], ("n",), **example)
    spec = imported(data, "--initial", f"{tmp_path / 'initial'}").manifest.spec
    assert not spec.states[0].finite
    assert spec.states[0].has_initial


def test_context_may_stand_along_any_axis(imported: Run) -> None:
    """The last axis that is longer, or the one that is named."""
    example = {"x": torch.randn(3, 10, 80), "state": torch.zeros(3, 80)}
    data = exported(Chunks(), ["y", "state_out"], ("n",), **example)
    named = imported(data, "--context", "x=4@1").manifest.spec
    assert (named.inputs[0].axes, named.inputs[0].context_axis) == (("batch", 6, 80), 1)
    assert named.states[-1] == StateSpec(
        name="x.context", dtype="float32", axes=("batch", 4, 80), output=None, context_of="x"
    )
    last = imported(data, "--context", "x=4").manifest.spec
    assert last.inputs[0].axes == ("batch", 10, 76)


def test_outputs_may_be_chosen(imported: Run) -> None:
    """--output serves those alone, and a final state is then no output."""
    data = exported(
        TwoStates(), ["y", "a_out", "b_out"], ("n",), **{n: torch.zeros(3, 3) for n in "xab"}
    )
    flags = ("--state", "a=a_out", "--state", "b=b_out")
    spec = imported(data, *flags, "--output", "y").manifest.spec
    assert [each.name for each in spec.outputs] == ["y"]


def test_what_was_found_is_said_with_the_reason(
    imported: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a tensor: dtype, axes, what it is taken for, and what shows it."""
    imported(swappable("hn", "cn"), quiet=False)
    said = capsys.readouterr().err
    assert "m: what was found" in said
    (line,) = [each for each in said.splitlines() if each.split()[:2] == ["h", "float32"]]
    assert "(1, batch, 4)" in line
    assert "state, comes back as hn; by name; chunks equal the whole; not handed on: " in line
    assert "; swapped with c: error " in line
    assert "chunks T-1|1" in said


def test_files_imported_one_after_the_other_do_not_mix(imported: Run) -> None:
    """torch shares code among modules of one class and shape; each file keeps its own."""
    for each in (scripted(), scripted()):
        artifact = imported(each.data, *each.flags)
        assert pairs(artifact.manifest.spec) == each.pairs
        assert artifact.manifest.programs["torchscript"].max_error < 1e-5


def test_fixed_states_have_no_output(imported: Run) -> None:
    """They are set when a session opens."""
    spec = imported(remembers().data, "--fixed", "memory").manifest.spec
    memory = next(each for each in spec.states if each.name == "memory")
    assert (memory.output, memory.fixed) == (None, True)


def test_the_python_call_does_what_the_flags_do(tmp_path: Path) -> None:
    """Shapes, contexts and initial values as plain values."""
    (tmp_path / "alone").write_bytes(alone().data)
    start: Mapping[str, Tensor] = {"state_in": torch.linspace(-1, 1, 7)}
    artifact = import_model(
        tmp_path / "alone",
        name="m",
        repository=tmp_path / "models",
        shapes={"spec": Stated("float32", (5,))},
        states={"state_in": "state_out"},
        contexts={"spec": Context(2)},
        initial=start,
        quiet=True,
    )
    assert artifact.manifest.spec.inputs[0].axes == (3,)
    assert np.array_equal(artifact.initial()["state_in"], start["state_in"].numpy())
    assert artifact.golden()["state.spec.context"].shape == (2,)
