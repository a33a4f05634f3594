"""An attention decoder over a real socket: the encoder's outputs are the state it is opened with.

In both programs, beside eager PyTorch, which decodes one word at a time.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from carousel.models.zoo.reverse import (
    END,
    LONGEST,
    START,
    teach,
    to_tokens,
    to_word,
)
from tests.harness.client import refused
from tests.harness.live import Live
from tests.harness.readme import block_with, run_script
from tests.models.zoo.reversing import (
    DECODER,
    ENCODER,
    INFER,
    MAX_LETTERS,
    NAMES,
    Pair,
    close,
    encode,
    export_pair,
    opened,
    state_of,
    step,
    taught,
    words,
)


@pytest.fixture(scope="module")
def pair() -> Pair:
    """Both modules, taught."""
    return taught()


@pytest.fixture(scope="module")
def models(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of both."""
    return export_pair(pair, tmp_path_factory.mktemp("reverse"))


@pytest.fixture(scope="module", params=["onnx", "torchscript"])
def service(models: Path, request: pytest.FixtureRequest) -> Iterator[Live]:
    """A service of both that runs one kind of program."""
    with Live(models, "--program", request.param) as live:
        yield live


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Live]:
    """A service of both, as it starts by itself."""
    with Live(models) as live:
        yield live


def test_greedy_decoding_equals_eager(service: Live, pair: Pair) -> None:
    """Words of all lengths, encoded in one call and decoded side by side, a token a request of
    many sessions, skipping turns: each answer is what eager decoding of that word alone gives.
    """
    http, rng = service.client, np.random.default_rng(1)
    asked = words(40, LONGEST + 4)
    paths = [opened(http, state) for state in encode(http, asked)]
    sessions = {path.rpartition("/")[2]: word for path, word in zip(paths, asked, strict=True)}
    token = dict.fromkeys(sessions, START)
    said: dict[str, list[int]] = {each: [] for each in sessions}
    while token:
        turn = [each for each in token if rng.random() < 0.7]
        steps = [
            {"session_id": each, "inputs": [token[each]], "position": len(said[each])}
            for each in turn
        ]
        answer = http.post("/v1/steps", json={"steps": steps}).json() if steps else {"results": []}
        for each, result in zip(turn, answer["results"], strict=True):
            token[each] = int(np.argmax(result["outputs"][0]))
            if token[each] != END:
                said[each].append(token[each])
            if token[each] == END or len(said[each]) == MAX_LETTERS:
                del token[each]
    assert said == {each: pair.greedy(word) for each, word in sessions.items()}


def test_a_word_is_spelled_backwards(service: Live) -> None:
    """Token by token through the plain route of steps."""
    http = service.client
    word = to_tokens("carousel").tolist()
    path = opened(http, encode(http, [word])[0])
    said: list[int] = []
    token = START
    while len(said) < MAX_LETTERS:
        outputs = step(http, path, token, position=len(said))["outputs"]
        token = int(np.argmax(outputs[0]))
        if token == END:
            break
        said.append(token)
    assert to_word(said) == "lesuorac"


def test_any_states_and_tokens_equal_eager(service: Live, pair: Pair) -> None:
    """Both programs beside the module, from states that no encoder made, several tokens a run."""
    rng = np.random.default_rng(2)
    tokens, states, expected = [], [], []
    for length in (1, 7, 32):
        state = {
            "h": torch.tensor(rng.standard_normal((1, 32)), dtype=torch.float32),
            "c": torch.tensor(rng.standard_normal((1, 32)), dtype=torch.float32),
            "memory": torch.tensor(rng.standard_normal((1, 32, 64)), dtype=torch.float32),
            "length": torch.tensor([length]),
        }
        tokens.append(rng.integers(0, END + 1, 5).tolist())
        states.append({name: each[0].tolist() for name, each in state.items()})
        scores: list[torch.Tensor] = []
        for token in tokens[-1]:
            found, state = pair.step(token, state)
            scores.append(found)
        expected.append((torch.stack(scores), state))
    body = {"sequences": tokens, "states": states, "return_state": True}
    answer = service.client.post(INFER, json=body).json()
    for index, (found, after) in enumerate(expected):
        close(answer["outputs"][index], found)
        for name in NAMES:
            close(answer["states"][index][name], after[name][0])


def test_the_encoder_takes_whole_words_only(served: Live, pair: Pair) -> None:
    """It is plain inference: words of different lengths in one batch, and no session."""
    asked = words(9, LONGEST, seed=3)
    for word, state in zip(asked, encode(served.client, asked), strict=True):
        expected = pair.start(word)
        close(state["memory"], expected["memory"][0])
        close(state["h"], expected["h"][0])
    answer = served.client.post("/v1/sessions", json={"model": ENCODER})
    assert "bidirectional" in refused(answer, 409, "not_streamable")["reason"]


def test_model_info_tells_what_is_fixed(served: Live) -> None:
    """`fixed` stands at the states that never change, and at no others."""
    info = served.client.get(f"/v1/models/{DECODER}").json()
    assert info["streaming"] == "step"
    assert info["states"] == [
        {"name": "h", "dtype": "float32", "shape": ["batch", 32]},
        {"name": "c", "dtype": "float32", "shape": ["batch", 32]},
        {"name": "memory", "dtype": "float32", "shape": ["batch", 32, 64], "fixed": True},
        {"name": "length", "dtype": "int64", "shape": ["batch"], "fixed": True},
    ]
    encoder = served.client.get(f"/v1/models/{ENCODER}").json()
    assert not any("fixed" in each for each in encoder["states"])


def test_the_open_inference_protocol_takes_them_too(served: Live, pair: Pair) -> None:
    """Stateless and as the first request of a sequence, fixed states are inputs by name."""
    http, word = served.client, [5, 13, 21, 2]
    given = encode(http, [word])[0]
    states = pair.start(word)

    def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": shape, "data": data}

    token = tensor("token", "INT64", [1], [START])
    inputs = [
        token,
        tensor("memory", "FP32", [1, 32, 64], [given["memory"]]),
        tensor("length", "INT64", [1], [len(word)]),
        tensor("h", "FP32", [1, 32], [given["h"]]),
    ]
    expected, states = pair.step(START, states)
    path = f"/v2/models/{DECODER}/infer"
    begin = {"sequence_id": "word", "sequence_start": True}
    for parameters in ({}, begin):
        refusal = http.post(path, json={"inputs": [token], "parameters": parameters})
        assert refusal.status_code == 422
        assert "nothing given for memory, length" in refusal.json()["error"]
        answer = http.post(path, json={"inputs": inputs, "parameters": parameters}).json()
        close(answer["outputs"][0]["data"], expected)
    letter = tensor("token", "INT64", [1], [2])
    more = {"inputs": [letter], "parameters": {"sequence_id": "word", "sequence_end": True}}
    close(http.post(path, json=more).json()["outputs"][0]["data"], pair.step(2, states)[0])


def test_a_killed_service_goes_on_with_the_memory(models: Path, pair: Pair, tmp_path: Path) -> None:
    """Words half answered when the process was killed are answered to their ends by the next."""
    store = ("--store", f"sqlite:{tmp_path / 'sessions.sqlite'}")
    asked = [word for word in words(20, LONGEST, seed=4) if len(word) > 3][:6]
    answers = [pair.greedy(word) for word in asked]
    heard = [[START, *answer] for answer in answers]
    with Live(models, *store) as live:
        paths = [opened(live.client, state) for state in encode(live.client, asked)]
        for path, tokens in zip(paths, heard, strict=True):
            step(live.client, path, *tokens[:3], position=0)
        before = [state_of(live.client, path) for path in paths]
        live.signal(signal.SIGKILL)
        live.wait()
    with Live(models, *store) as live:
        for path, tokens, state in zip(paths, heard, before, strict=True):
            after = state_of(live.client, path)
            assert all(np.array_equal(after[name], state[name]) for name in NAMES)
            for position, token in enumerate(tokens[3:], 3):
                found = step(live.client, path, token, position=position)
                following = [*tokens, END][position + 1]
                assert int(np.argmax(found["outputs"][0])) == following


def test_most_words_come_back_backwards(pair: Pair) -> None:
    """Of two hundred random words nine in ten are spelled right."""
    asked = words(200, LONGEST, seed=5)
    right = sum(pair.greedy(word) == word[::-1] for word in asked)
    assert right >= 180


def test_lessons_are_alike() -> None:
    """Taught anew, after other random numbers, both come out bit-equal."""
    lines: list[str] = []
    first = teach(lines.append, rounds=100)
    torch.rand(7)
    again = teach(lines.append, rounds=100)
    assert lines
    for known, weights in zip(first, again, strict=True):
        assert known.keys() == weights.keys()
        assert all(torch.equal(known[name], each) for name, each in weights.items())


def test_a_word_is_spelled_backwards_as_printed(served: Live, tmp_path: Path) -> None:
    """The script in docs/reference-models.md, from the word to what the decoder says."""
    assert run_script(block_with("python", "reverse-encoder"), tmp_path, served) == "lesuorac\n"
