"""The models that the tests over a socket serve: modules to compare with, and their export."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from carousel import export_model
from carousel.models.row import Array
from carousel.models.spec import Axis
from carousel.models.zoo.catalog import REFERENCES
from carousel.models.zoo.simple_lstm import SimpleLSTM

Floats = npt.NDArray[np.float32]

NAMES = ("lstm-10-20-2", "bilstm-10-20-2", "gru-10-20-2", "lstm-proj", "attention")


class TokenGRU(nn.Module):
    """Token ids from 0 to 10 through an embedding and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.gru = nn.GRU(4, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (T, B) give (T, B, 5)."""
        embedded = self.embedding(ids)  # (T, B, 4)
        output: torch.Tensor = self.gru(embedded)[0]
        return output


@dataclass(frozen=True, slots=True)
class Served:
    """A model of the tests: the module itself, and what the exporter is told."""

    name: str
    module: nn.Module
    example: tuple[torch.Tensor, ...]
    axes: Mapping[str, tuple[Axis, ...]] | None = None
    output_names: tuple[str, ...] | None = None

    def export(self, repository: Path) -> None:
        """Write the next version of it."""
        export_model(
            self.module,
            self.example,
            name=self.name,
            repository=repository,
            axes=self.axes,
            output_names=self.output_names,
            quiet=True,
        )


def served_models() -> dict[str, Served]:
    """Every model that the tests serve, by name."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        tokens = Served("tokens", TokenGRU().eval(), (torch.zeros((3, 2), dtype=torch.int64),))
        simple = Served("simple-lstm", SimpleLSTM().eval(), (torch.randn(5, 15, 10),))
    zoo = {
        name: Served(name, each.build(_quiet), each.example(), each.axes, each.output_names)
        for name in NAMES
        for each in [REFERENCES[name]]
    }
    return zoo | {tokens.name: tokens, simple.name: simple}


def run_lstm(
    module: nn.Module, x: Array, state: tuple[Array, Array] | None = None
) -> tuple[Floats, Floats, Floats]:
    """The eager LSTM on one sequence (T, F): output (T, H), h (L, H), c (L, H)."""
    given = torch.from_numpy(np.asarray(x, np.float32))[:, None]  # (T, 1, F)
    start = None
    if state is not None:
        start = tuple(torch.from_numpy(np.array(each, np.float32))[:, None] for each in state)
    with torch.inference_mode():
        output, (h, c) = module(given, start)
    return output[:, 0].numpy(), h[:, 0].numpy(), c[:, 0].numpy()


def _quiet(line: str) -> None:
    """Training tells nobody how it goes."""
