"""States that the caller says never change: given once, never returned, held while measured."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from carousel import export_model
from carousel.export.__main__ import main
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.models.manifest import ProgramKind
from carousel.models.repository import Repository
from carousel.service.engine.loaded_model import LoadOptions, load_model
from tests.export.cases.fixed import FULL, MEMORY, Attends, B, H, S, X
from tests.harness.export_run import Tensors, proven, run

PROGRAMS: tuple[ProgramKind, ...] = ("onnx", "torchscript")


class Hides(Attends):
    """The same with its state hidden."""

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, memory: torch.Tensor, length: torch.Tensor
    ) -> torch.Tensor:
        read = self.read(x, memory, length)
        output: torch.Tensor = self.gru(torch.cat((x, read), 2))[0]
        return output


class Offered(Hides):
    """With its example, for the command line."""

    example_inputs = (X, MEMORY, torch.tensor([1, 7, 3, 2, 5]))


class Optional(Hides):
    """Does without a memory, too."""

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        read = torch.zeros(*x.shape[:2], 4)
        if memory is not None:
            read = self.read(x, memory, torch.full_like(memory[:, 0, 0], S))
        output: torch.Tensor = self.gru(torch.cat((x, read), 2))[0]
        return output


class StateLike(nn.Module):
    """A memory that has the name and the shape of a state, before the state itself."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6 + 8 + 8, 8)

    def forward(
        self, x: torch.Tensor, memory_state: torch.Tensor, own_state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x (B, 6), both states (B, 8)."""
        new = torch.tanh(self.mix(torch.cat((x, memory_state, own_state), 1)))
        return new * 2, new * 3, new


class Shares(Hides):
    """Each row reads the mean memory of all."""

    def read(self, x: torch.Tensor, memory: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        return super().read(x, memory.mean(0, keepdim=True).expand_as(memory), length)


class Writes(Attends):
    """Uses its memory up."""

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, memory: torch.Tensor, length: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = super().forward(x, h, memory, length)
        memory.mul_(0.5)
        return found


class Scaled(nn.Module):
    """A number for all rows."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.gru(x * scale)[0]
        return output


def frames(made: Proven, program: ProgramKind, x: torch.Tensor, states: Tensors) -> torch.Tensor:
    """The outputs (B, T, O) of one run a time step, states that come back handed on."""
    outputs = []
    for step in range(x.shape[1]):
        lengths = None if made.manifest.programs[program].lengths is None else [1] * len(x)
        answer = run(made, program, {"x": x[:, step : step + 1]}, states, lengths)
        states = {**states, **answer.states}
        outputs.append(next(iter(answer.outputs.values())))
    return torch.cat(outputs, 1)


def other(batch: int) -> Tensors:
    """A memory and lengths that no example has."""
    rng = torch.Generator().manual_seed(batch)
    return {
        "memory": torch.randn(batch, S, 4, generator=rng),
        "length": torch.randint(1, S + 1, (batch,), generator=rng),
    }


@pytest.mark.parametrize("length", [FULL, torch.tensor([1, 7, 3, 2, 5])], ids=["full", "mixed"])
def test_a_fixed_state_goes_in_and_never_comes_out(length: torch.Tensor) -> None:
    """Batch axes are found where they are, one for h and another for the memory; both programs,
    frame by frame with the memory held, equal eager on the whole.
    """
    torch.manual_seed(3)
    module = Attends().eval()
    made = proven(module, X, H, MEMORY, length, fixed=("memory", "length"))
    spec = made.manifest.spec
    assert [(each.name, each.output, each.fixed, each.axes) for each in spec.states] == [
        ("h", "h_out", False, (1, "batch", 8)),
        ("memory", None, True, ("batch", S, 4)),
        ("length", None, True, ("batch",)),
    ]
    assert [each.name for each in spec.inputs] == ["x"]
    assert [each.dtype for each in spec.states] == ["float32", "float32", "int64"]
    assert spec.streaming == "step"
    assert spec.has_batch
    checks = {(case.program, case.check) for case in made.manifest.parity.cases}
    for program in PROGRAMS:
        assert checks >= {(program, "whole"), (program, "chunks 1"), (program, "chunks T-1|1")}
        x, h, states = torch.randn(3, 9, 6), torch.randn(1, 3, 8), other(3)
        with torch.no_grad():
            expected = module(x, h, **states)[0]
        found = frames(made, program, x, {"h": h, **states})
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_hidden_state_is_lifted_beside_a_fixed_one() -> None:
    """The recurrent layer's own state becomes a state too, and the memory is held."""
    torch.manual_seed(4)
    module = Hides().eval()
    made = proven(module, X, MEMORY, FULL, fixed=("memory", "length"))
    assert [each.name for each in made.manifest.spec.states] == ["memory", "length", "h"]
    x, states = torch.randn(2, 9, 6), other(2)
    with torch.no_grad():
        expected = module(x, **states)
    for program in PROGRAMS:
        found = frames(made, program, x, {"h": torch.zeros(1, 2, 8), **states})
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_artifact_is_loaded_and_proven_again(tmp_path: Path) -> None:
    """The golden example holds in a fresh process, and in the service in both programs."""
    artifact = export_model(
        Hides(),
        (X, MEMORY, FULL),
        name="m",
        repository=tmp_path,
        fixed=("memory", "length"),
        quiet=True,
    )
    golden = artifact.golden()
    assert golden["state.memory"].any()
    assert "state_out.memory" not in golden
    stored = Repository(tmp_path).open("m")
    for program in PROGRAMS:
        loaded = load_model(stored, LoadOptions(program=program))
        assert not np.frombuffer(loaded.initial_row, np.uint8).any()


def test_the_command_line_takes_them_by_name(tmp_path: Path) -> None:
    """`--fixed`, once for each."""
    repository = ("--model-repository", f"{tmp_path}", "--quiet")
    flags = ("--name", "m", "--fixed", "memory", "--fixed", "length")
    assert main(["tests.export.test_fixed:Offered", *flags, *repository]) == 0
    states = Repository(tmp_path).open("m").manifest.spec.states
    assert {each.name: each.fixed for each in states} == {
        "memory": True,
        "length": True,
        "h": False,
    }


def test_an_optional_memory_is_a_state_all_the_same() -> None:
    """Forward would run without it; a session is given one."""
    torch.manual_seed(5)
    module = Optional().eval()
    made = proven(module, X, MEMORY, fixed=("memory",))
    assert [each.name for each in made.manifest.spec.states] == ["memory", "h"]
    x, memory = torch.randn(2, 4, 6), torch.randn(2, S, 4)
    with torch.no_grad():
        expected = module(x, memory)
    found = frames(made, "onnx", x, {"h": torch.zeros(1, 2, 8), "memory": memory})
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_fixed_state_takes_no_output_from_another() -> None:
    """What comes back is the new value of the state that changes, however the other is called."""
    example = torch.randn(B, 6), torch.randn(B, 8), torch.randn(B, 8)
    made = proven(StateLike(), *example, fixed=("memory_state",))
    spec = made.manifest.spec
    assert [(each.name, each.fixed) for each in spec.states] == [
        ("memory_state", True),
        ("own_state", False),
    ]
    assert len(spec.outputs) == 2


def test_rows_that_share_their_memory_run_one_by_one() -> None:
    """What one row is given must not reach another's answer."""
    made = proven(Shares(), X, MEMORY, FULL, fixed=("memory", "length"))
    spec = made.manifest.spec
    assert not spec.has_batch
    assert any("one row at a time" in note for note in made.manifest.parity.skipped)


def test_unsaid_it_is_an_input() -> None:
    """Nothing is taken for a state that never changes by itself: clients send it each time."""
    made = proven(Attends(), X, H, MEMORY, torch.tensor([1, 7, 3, 2, 5]))
    spec = made.manifest.spec
    assert [each.name for each in spec.inputs] == ["x", "memory", "length"]
    assert [each.name for each in spec.states] == ["h"]


def test_a_memory_that_is_written_into_is_refused() -> None:
    """It would change from call to call, which no program of ours carries on."""
    with pytest.raises(ExportRefused, match="forward writes into 'memory'"):
        proven(Writes(), X, H, MEMORY, FULL, fixed=("memory", "length"))


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"fixed": ("memories",)}, "fixed: forward has no parameter 'memories'"),
        ({"fixed": ("h",), "states": ("h",)}, "fixed: 'h' is named by states already"),
        (
            {"fixed": ("memory", "length"), "axes": {"memory": ("batch", "time", 4)}},
            "axes: memory is a state, and a state has no 'time'",
        ),
        (
            {"fixed": ("memory", "length"), "axes": {"memory": ("batch", 3, 4)}},
            "axes: memory is 7 long where 3 is stated",
        ),
        ({"axes": {"x": ("batch", "time", 9)}}, "axes: x is 6 long where 9 is stated"),
    ],
)
def test_wishes_that_do_not_fit_are_told(wishes: dict[str, object], words: str) -> None:
    """With the argument's name and what was found."""
    with pytest.raises(InvalidRequest) as refused:
        proven(Attends(), X, H, MEMORY, FULL, **wishes)
    assert words in str(refused.value)


def test_an_example_must_hold_what_is_fixed() -> None:
    """Its size is the state's, so it cannot be left out, nor be one number for all."""
    with pytest.raises(InvalidRequest, match="the example gives no tensor for 'memory'"):
        proven(Optional(), X, fixed=("memory",))
    with pytest.raises(InvalidRequest, match="'scale' is one number for all rows"):
        proven(Scaled(), X, torch.tensor(2.0), fixed=("scale",))
