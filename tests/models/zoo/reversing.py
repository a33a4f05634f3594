"""The attention decoder for tests: the taught pair, and talking to a service of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from carousel import export_model
from carousel.models.row import Array
from carousel.models.zoo.catalog import REFERENCES
from carousel.models.zoo.reverse import (
    END,
    LETTERS,
    START,
    Decoder,
    Encoder,
    fill,
)
from tests.harness.client import TOLERANCE

ENCODER, DECODER = "reverse-encoder", "reverse-decoder"
INFER = f"/v1/models/{DECODER}/infer"


MAX_LETTERS = 16  # an answer that does not end is as good as any other, up to here


NAMES = ("h", "c", "memory", "length")


Words = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Pair:
    """The untouched modules: where expected values come from."""

    encoder: Encoder
    decoder: Decoder

    def start(self, word: Sequence[int]) -> dict[str, torch.Tensor]:
        """The decoder's states at its first step, for one row."""
        with torch.inference_mode():
            memory, h = self.encoder(torch.tensor(word).unsqueeze(1))
        length = torch.tensor([len(word)])
        return {"h": h, "c": torch.zeros_like(h), "memory": fill(memory), "length": length}

    def step(
        self, token: int, states: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The scores (28,) and the states after one token."""
        with torch.inference_mode():
            scores, h, c = self.decoder(torch.tensor([token]), *(states[name] for name in NAMES))
        return scores[0], {**states, "h": h, "c": c}

    def greedy(self, word: Sequence[int]) -> list[int]:
        """The answer to a word, the best letter each time."""
        states, token = self.start(word), START
        answer: list[int] = []
        while len(answer) < MAX_LETTERS:
            scores, states = self.step(token, states)
            token = int(scores.argmax())
            if token == END:
                break
            answer.append(token)
        return answer


def words(count: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Random words of 1 to `longest` letters."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, len(LETTERS), rng.integers(1, longest + 1)).tolist() for _ in range(count)
    ]


def encode(http: httpx.Client, asked: Words) -> list[dict[str, Any]]:
    """What the encoder makes of words, all in one call, as states of the decoder."""
    answer = http.post(f"/v1/models/{ENCODER}/infer", json={"sequences": asked})
    assert answer.status_code == 200, answer.text
    return [
        {
            "memory": outputs["memory"] + [[0.0] * 64] * (32 - len(word)),
            "length": len(word),
            "h": outputs["start"],
        }
        for word, outputs in zip(asked, answer.json()["outputs"], strict=True)
    ]


def opened(http: httpx.Client, state: dict[str, Any], **more: Any) -> str:
    """The path of a session that was opened on the decoder."""
    answer = http.post("/v1/sessions", json={"model": DECODER, "state": state, **more})
    assert answer.status_code == 201, answer.text
    return f"/v1/sessions/{answer.json()['session_id']}"


def step(http: httpx.Client, path: str, *tokens: int, **more: Any) -> Any:
    """The answer to a step of some tokens."""
    answer = http.post(f"{path}/steps", json={"inputs": tokens, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def state_of(http: httpx.Client, path: str) -> dict[str, Array]:
    """A session's state."""
    state = http.get(f"{path}/state").json()["state"]
    return {name: np.asarray(each, np.float32) for name, each in state.items()}


def close(found: Any, expected: torch.Tensor) -> None:
    """Equal within the exporter's bound; NaN is not."""
    wanted = expected.numpy()
    assert np.shape(found) == wanted.shape
    bound = TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    assert np.abs(np.asarray(found) - wanted).max() <= bound


@cache
def taught() -> Pair:
    """Both modules, taught once a run."""
    encoder, decoder = (REFERENCES[name].build(lambda line: None) for name in (ENCODER, DECODER))
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)
    return Pair(encoder, decoder)


def export_pair(pair: Pair, folder: Path) -> Path:
    """A repository of both, in a folder."""
    for name, module in ((ENCODER, pair.encoder), (DECODER, pair.decoder)):
        each = REFERENCES[name]
        export_model(
            module,
            each.example(),
            name=name,
            repository=folder,
            output_names=each.output_names,
            fixed=each.fixed,
            quiet=True,
        )
    return folder
