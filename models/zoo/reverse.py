"""Two networks that spell a word backwards: one reads it, the other answers a letter at a time.

The encoder is bidirectional, so it takes the whole word. What it makes of each letter is the
decoder's `memory`, filled up to POSITIONS places with anything, and `length` says how many of them
hold letters: the others get no weight. Both are set when a session opens and never change. `h`
starts at the encoder's `start`, `c` at zero. A word is asked for by the token START; then each
token is the letter answered last, until the answer is END.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from carousel.models.zoo.attention import POSITIONS, QUERY, VALUES, ConcatAttention
from carousel.models.zoo.reference import Reference, Report, normal, seeded

LETTERS = "abcdefghijklmnopqrstuvwxyz"
START, END = len(LETTERS), len(LETTERS) + 1
LONGEST = 8  # letters of the words that the two were taught

_SEED = 1997
_ROUNDS = 1000
_BATCH = 32
_RATE = 0.01

Weights = dict[str, torch.Tensor]


class Encoder(nn.Module):
    """Reads words from both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), QUERY)
        self.lstm = nn.LSTM(QUERY, VALUES // 2, bidirectional=True)
        self.bridge = nn.Linear(VALUES, QUERY)

    def forward(self, letters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """letters (T, B) give the memory (T, B, 64) and where the decoder starts, (B, 32)."""
        memory, (h, _) = self.lstm(self.embedding(letters))  # (T, B, 64), (2, B, 32)
        ends = torch.cat((h[0], h[1]), 1)  # (B, 64)
        return memory, torch.tanh(self.bridge(ends))


class Decoder(nn.Module):
    """One token a call: attends to the memory by what it heard last, and steps an LSTM cell."""

    positions: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS) + 2, QUERY)
        self.attention = ConcatAttention()
        self.cell = nn.LSTMCell(VALUES, QUERY)
        self.head = nn.Linear(QUERY, len(LETTERS) + 2)
        self.register_buffer("positions", torch.arange(POSITIONS), persistent=False)

    def forward(
        self,
        token: torch.Tensor,
        h: torch.Tensor,
        c: torch.Tensor,
        memory: torch.Tensor,
        length: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """token and length (B,), h and c (B, 32), memory (B, 32, 64) give the scores of the next
        token (B, 28) and the new h and c.
        """
        heard = self.embedding(token)  # (B, 32)
        empty = self.positions >= length.unsqueeze(1)  # (B, 32)
        mixed, _ = self.attention.attend(heard, h, memory, empty)  # (B, 64)
        h, c = self.cell(torch.tanh(mixed), (h, c))  # (B, 32) each
        return self.head(h), h, c


def to_tokens(word: str) -> torch.Tensor:
    """The letters of a word, (T,)."""
    return torch.tensor([LETTERS.index(letter) for letter in word])


def to_word(tokens: Sequence[int]) -> str:
    """The letters that tokens are."""
    return "".join(LETTERS[token] for token in tokens)


def fill(memory: torch.Tensor) -> torch.Tensor:
    """A memory (T, B, 64) as the decoder takes it: (B, 32, 64), zeros behind its end."""
    rest = POSITIONS - len(memory)
    return functional.pad(memory.transpose(0, 1), (0, 0, 0, rest))  # (B, 32, 64)


class Lesson:
    """Encoder and decoder, taught together: what the one makes only the other can read.

    They are taught once in a process, however often one of them is built.
    """

    def __init__(self) -> None:
        self._taught: tuple[Weights, Weights] | None = None

    def __repr__(self) -> str:
        return f"<Lesson taught={self._taught is not None}>"

    def encoder(self, report: Report) -> Encoder:
        """A new encoder that was taught."""
        weights, _ = self._weights(report)
        with seeded(_SEED):
            module = Encoder()
        module.load_state_dict(weights)
        return module.eval()

    def decoder(self, report: Report) -> Decoder:
        """A new decoder that was taught."""
        _, weights = self._weights(report)
        with seeded(_SEED):
            module = Decoder()
        module.load_state_dict(weights)
        return module.eval()

    def _weights(self, report: Report) -> tuple[Weights, Weights]:
        if self._taught is None:
            self._taught = teach(report)
        report(f"weights from seed {_SEED}, {_ROUNDS} rounds of words of 1 to {LONGEST} letters")
        return self._taught


def teach(report: Report, rounds: int = _ROUNDS) -> tuple[Weights, Weights]:
    """The weights of an encoder and its decoder after so many rounds."""
    with seeded(_SEED), torch.enable_grad():
        encoder, decoder = Encoder(), Decoder()
        weights = [*encoder.parameters(), *decoder.parameters()]
        optimizer = torch.optim.Adam(weights, lr=_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, _RATE, total_steps=rounds, pct_start=0.2
        )
        for each in range(1, rounds + 1):
            loss = _loss(encoder, decoder, _words())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            if each % 100 == 0:
                report(f"round {each} of {rounds}: loss {loss.item():.3f}")
    return encoder.state_dict(), decoder.state_dict()


def _words() -> torch.Tensor:
    """Random words of one length, (T, B); long ones, which are harder, come more often."""
    length = int(torch.randint(1, LONGEST + 1, (2,)).max())
    return torch.randint(len(LETTERS), (length, _BATCH))


def _loss(encoder: Encoder, decoder: Decoder, words: torch.Tensor) -> torch.Tensor:
    """How far the answers are from the words (T, B) backwards, each letter told the one before."""
    memory, h = encoder(words)  # (T, B, 64), (B, 32)
    memory, c = fill(memory), torch.zeros_like(h)
    length = torch.full((_BATCH,), len(words))
    expected = torch.cat((words.flip(0), torch.full((1, _BATCH), END)))  # (T + 1, B)
    token = torch.full((_BATCH,), START)
    scores: list[torch.Tensor] = []
    for following in expected:  # (B,)
        found, h, c = decoder(token, h, c, memory, length)
        scores.append(found)
        token = following
    return functional.cross_entropy(torch.cat(scores), expected.flatten())


def _words_example() -> tuple[torch.Tensor, ...]:
    words = ("carousel", "recurring", "sequence")
    shortest = min(map(len, words))
    return (torch.stack([to_tokens(word)[:shortest] for word in words], dim=1),)  # (T, B)


def _token_example() -> tuple[torch.Tensor, ...]:
    """Five rows at different letters of words of different lengths."""
    token = torch.tensor([START, 0, 12, 25, 7])  # (B,)
    length = torch.tensor([1, 5, 8, 17, POSITIONS])  # (B,)
    h, c = 0.5 * normal(5, QUERY), 0.5 * normal(5, QUERY, seed=1)
    return token, h, c, 0.5 * normal(5, POSITIONS, VALUES, seed=2), length


_LESSON = Lesson()

REVERSE_ENCODER = Reference(
    "reverse-encoder",
    "bidirectional LSTM that reads a word: whole sequences only",
    _LESSON.encoder,
    _words_example,
    output_names=("memory", "start"),
)
REVERSE_DECODER = Reference(
    "reverse-decoder",
    "LSTM cell with attention that spells the word it was given backwards",
    _LESSON.decoder,
    _token_example,
    output_names=("scores",),
    fixed=("memory", "length"),
)
