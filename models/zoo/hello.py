"""Two networks that hear "hello" a letter at a time and say "ohlol", each letter as soon as heard.

Letters are one-hot, and the four outputs are the scores of the same letters. The two l of "hello"
get different answers, so neither network can do without its hidden state.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from carousel.models.zoo.reference import Reference, Report, seeded

LETTERS = "ehlo"
HEARD = "hello"
SAID = "ohlol"

_SEED = 1997
_EPOCHS = 200
# Without it the weights grow until the network amplifies differences from step to step, rounding
# too: ONNX Runtime and torch then part by 1.6e-5 within 100 steps, with it by 5e-6.
_WEIGHT_DECAY = 0.3


class HelloRNNCell(nn.Module):
    """An RNNCell stepped by hand; its hidden state is its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(T, B, F) gives the scores (T, B, H)."""
        hidden = x.new_zeros(x.size(1), 4)  # (B, H)
        outputs = []
        for step in x:  # (B, F)
            hidden = self.cell(step, hidden)  # (B, H)
            outputs.append(hidden)
        return torch.stack(outputs)


def one_hot(word: str) -> torch.Tensor:
    """The letters of `word` as one sequence: (T, 1, F)."""
    return functional.one_hot(_indices(word), len(LETTERS)).float().unsqueeze(1)  # (T, 1, F)


def spell(scores: torch.Tensor) -> str:
    """The letters with the highest scores; `scores` is (T, 1, H)."""
    return "".join(LETTERS[int(index)] for index in scores.argmax(dim=-1).flatten())


def _build(make: Callable[[], nn.Module]) -> Callable[[Report], nn.Module]:
    def build(report: Report) -> nn.Module:
        with seeded(_SEED), torch.enable_grad():
            module = make()
            _fit(module, report)
        return module.eval()

    return build


def _fit(module: nn.Module, report: Report) -> None:
    """Teach `module` to say SAID; its answer, or the first part of it, is the scores."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=_WEIGHT_DECAY)
    inputs, targets = one_hot(HEARD), _indices(SAID)  # (T, 1, F), (T,)
    for epoch in range(1, _EPOCHS + 1):
        optimizer.zero_grad()
        answer = module(inputs)
        scores = answer[0] if isinstance(answer, tuple) else answer  # (T, 1, H)
        loss = functional.cross_entropy(scores.squeeze(1), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        optimizer.step()
        if epoch % 50 == 0:
            report(f"epoch {epoch} of {_EPOCHS}: loss {loss.item():.3f}, says {spell(scores)!r}")
    module.zero_grad()


def _indices(word: str) -> torch.Tensor:
    return torch.tensor([LETTERS.index(letter) for letter in word])  # (T,)


def _example() -> tuple[torch.Tensor, ...]:
    return (one_hot(HEARD),)  # (T, 1, F)


HELLO_RNNCELL = Reference(
    "hello-rnncell",
    'RNNCell stepped by hand: hears "hello", says "ohlol"',
    _build(HelloRNNCell),
    _example,
)
HELLO_RNN = Reference(
    "hello-rnn",
    'RNN of one layer: hears "hello", says "ohlol"',
    _build(lambda: nn.RNN(4, 4)),
    _example,
)
