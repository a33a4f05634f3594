"""Modules and files whose manifests were recorded from version 0.1.0, and how each is exported.

Weights come from seeds and uniform numbers alone, which are the same on every machine.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo

RECORDED = Path(__file__).parents[1] / "recorded"

X = torch.linspace(-1, 1, 4 * 5 * 6).reshape(4, 5, 6)
H = torch.linspace(-0.5, 0.5, 4 * 8).reshape(1, 4, 8)
TOKENS = torch.arange(20).reshape(4, 5) % 11


@dataclass(frozen=True)
class Case:
    """One export: what makes the module, its example, what the caller says."""

    make: Callable[[], nn.Module]
    example: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def module(self) -> nn.Module:
        """The module with the weights it had when its manifest was recorded."""
        torch.manual_seed(7)
        made = self.make()
        generator = torch.Generator().manual_seed(8)
        with torch.no_grad():
            for each in made.parameters():
                each.uniform_(-0.4, 0.4, generator=generator)
        return made


CASES: Mapping[str, Case] = {
    "rnn": Case(lambda: nn.RNN(6, 8), (X,)),
    "lstm-2": Case(lambda: nn.LSTM(6, 8, 2, batch_first=True), (X,)),
    "lstm-proj": Case(lambda: nn.LSTM(6, 8, proj_size=3), (X,)),
    "bigru": Case(lambda: nn.GRU(6, 8, bidirectional=True), (X,)),
    "lstm-cell": Case(lambda: nn.LSTMCell(6, 8), (X[0],)),
    "gru-cell": Case(lambda: nn.GRUCell(6, 8), (X[0],)),
    "explicit": Case(zoo.Explicit, (X,)),
    "required": Case(zoo.RequiredState, (X, H, H)),
    "batch-first-state": Case(zoo.BatchFirstState, (X, torch.zeros(4, 2, 8))),
    "hand-written-cell": Case(zoo.HandWrittenCell, (X[:, 0], H[0])),
    "hand-written-loop": Case(zoo.HandWrittenLoop, (X, H[0])),
    "two-layers": Case(zoo.TwoLayers, (X,)),
    "learned-start": Case(zoo.LearnedStart, (X,)),
    "computed-start": Case(zoo.ComputedStart, (X,)),
    "encoder-decoder": Case(zoo.EncoderDecoder, (X,)),
    "cell-loop": Case(zoo.CellLoop, (X,)),
    "last-of-loop": Case(zoo.LastOfLoop, (X,)),
    "stepped-layer": Case(zoo.SteppedLayer, (X,)),
    "attribute": Case(zoo.AttributeState, (X,)),
    "dual-path": Case(zoo.DualPath, (torch.linspace(-1, 1, 240).reshape(2, 6, 5, 4),)),
    "same-names": Case(zoo.SameNames, (X, H)),
    "optional-batch-first": Case(zoo.OptionalBatchFirst, (X,)),
    "learned-optional": Case(zoo.LearnedOptional, (X,)),
    "returns-state": Case(zoo.ReturnsState, (X,)),
    "decoder": Case(zoo.Decoder, (X, H)),
    "fixed": Case(zoo.Decoder, (X, H), {"fixed": ("start",)}),
    "cell-stack": Case(
        zoo.CellStack, (X[:, 0], [(H[0], H[0]), (torch.zeros(4, 5), torch.ones(4, 5))])
    ),
    "recommender": Case(zoo.Recommender, (torch.arange(4), torch.zeros(1, 4, 8))),
    "channels-first": Case(zoo.ChannelsFirst, (X.transpose(1, 2).contiguous(),)),
    "last-step": Case(heads.LastStep, (X,)),
    "max-pool": Case(heads.MaxPool, (X,)),
    "mean-pool": Case(heads.MeanPool, (X,)),
    "final-state": Case(heads.FinalState, (X,)),
    "packs": Case(heads.Packs, (X, torch.tensor([5, 3, 2, 4]))),
    "tagger": Case(heads.Tagger, (TOKENS, X[:, 0, :3].contiguous())),
    "perceptron": Case(heads.Perceptron, (X[:, 0],)),
}


def recorded(name: str) -> dict[str, Any]:
    """The manifest of a case as version 0.1.0 wrote it."""
    manifests: dict[str, dict[str, Any]] = json.loads((RECORDED / "manifests.json").read_text())
    return manifests[name]
