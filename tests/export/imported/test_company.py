"""What a file answers in company that it refuses alone, and names that tell nothing."""

from pathlib import Path

import torch
from torch import nn

from tests.export.imported.foreign.files import onnx_bytes, script_bytes
from tests.export.imported.outcome import run_import


class Flat(nn.Module):
    """Reads each row's last step out of all rows in one: a length too long is somebody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        y = self.gru(x)[0]
        rows, steps = y.shape[0], y.shape[1]
        flat: torch.Tensor = y.reshape(-1, 5)
        return flat[torch.arange(rows) * steps + lengths - 1]


class First(nn.Module):
    """Gives back its state before its answer, of one width."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.GRUCell(4, 5), nn.Linear(5, 5)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state = self.cell(x, state)
        return state, self.fc(state)


class Layer(nn.Module):
    """A layer with its state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, h = self.gru(x, h)
        return y, h


def test_answers_of_strangers_are_no_batch(tmp_path: Path) -> None:
    """A row that fails alone and is answered in company is answered with somebody else's."""
    torch.manual_seed(1)
    data = onnx_bytes(
        Flat(),
        {"x": torch.randn(2, 6, 4), "lengths": torch.tensor([6, 4])},
        ["y"],
        {"x": {0: "b", 1: "t"}, "lengths": {0: "b"}, "y": {0: "b"}},
    )
    refused = run_import(tmp_path, data, "--range", "lengths=1..4")
    assert refused.code == 1
    assert "--no-batch" in refused.said
    spec = run_import(
        tmp_path, data, "--range", "lengths=1..4", "--no-batch"
    ).artifact.manifest.spec
    assert not spec.has_batch


def test_which_of_two_is_the_state_is_asked_where_nothing_tells(tmp_path: Path) -> None:
    """The first output may be it; both are named."""
    torch.manual_seed(1)
    shapes = ("--input", "x:float32:batch,4", "--input", "state:float32:batch,5")
    said = run_import(tmp_path, script_bytes(First()), *shapes).said
    assert "--state state=output_1 or --state state=output_0" in said


def test_names_that_are_all_alike_are_told_apart_by_running(tmp_path: Path) -> None:
    """input_1 and input_2, as Keras has them."""
    torch.manual_seed(1)
    data = onnx_bytes(
        Layer(),
        {"input_1": torch.randn(2, 6, 4), "input_2": torch.zeros(1, 2, 5)},
        ["output_1", "output_2"],
        {
            "input_1": {0: "b", 1: "t"},
            "input_2": {1: "b"},
            "output_1": {0: "b", 1: "t"},
            "output_2": {1: "b"},
        },
    )
    spec = run_import(tmp_path, data).artifact.manifest.spec
    assert ([each.name for each in spec.states], spec.streaming) == (["input_2"], "step")


class Two(nn.Module):
    """A frame with two memories of one width, of which one alone comes back under its name."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.GRUCell(9, 5), nn.Linear(5, 5)

    def forward(
        self, x: torch.Tensor, cache: torch.Tensor, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.cell(torch.cat((x, cache), 1), hidden)
        return self.fc(hidden), hidden


def test_what_names_tell_is_proposed_first(tmp_path: Path) -> None:
    """hidden comes back as hidden_out, whatever else is called a state."""
    torch.manual_seed(1)
    data = onnx_bytes(
        Two(),
        {"x": torch.randn(2, 4), "cache": torch.zeros(2, 5), "hidden": torch.zeros(2, 5)},
        ["output", "hidden_out"],
        {name: {0: "b"} for name in ("x", "cache", "hidden", "output", "hidden_out")},
    )
    said = run_import(tmp_path, data).said
    assert "--state cache=hidden_out" not in said.partition("Way out: ")[2]
    assert "--state hidden=hidden_out" in said or "hidden_out; by name" in said
