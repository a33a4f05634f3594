"""An attention decoder over a real socket: the encoder's outputs are the state it is opened with.

In both programs, beside eager PyTorch, which decodes one word at a time.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from safetensors.numpy import save

from export import export_model
from models.row import Array
from models.zoo.catalog import REFERENCES
from models.zoo.reverse import (
    END,
    LETTERS,
    LONGEST,
    START,
    Decoder,
    Encoder,
    fill,
    teach,
    to_tokens,
    to_word,
)
from tests.client import RAW, TENSORS, TOLERANCE, refused
from tests.live import Live
from tests.readme import block_with, run_script

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


@pytest.fixture(scope="module")
def pair() -> Pair:
    """Both modules, taught."""
    encoder, decoder = (REFERENCES[name].build(lambda line: None) for name in (ENCODER, DECODER))
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)
    return Pair(encoder, decoder)


@pytest.fixture(scope="module")
def models(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of both."""
    folder = tmp_path_factory.mktemp("reverse")
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


def test_a_session_is_not_opened_without_its_fixed_states(served: Live) -> None:
    """What is missing is named, whether none of the state is given, part of it, or the rest."""
    http = served.client
    state = encode(http, [[1, 2]])[0]
    for given, missing in (
        ({}, "memory, length"),
        ({"state": {}}, "memory, length"),
        ({"state": {"h": state["h"], "c": [0.0] * 32}}, "memory, length"),
        ({"state": {"memory": state["memory"]}}, "length"),
        ({"state": {"length": 2, "h": state["h"]}}, "memory"),
    ):
        answer = http.post("/v1/sessions", json={"model": DECODER, **given})
        problem = refused(answer, 422, "invalid_request")
        assert problem["detail"].startswith(f"state: nothing given for {missing};")
    unknown = {"model": DECODER, "state": {**state, "memories": 1}}
    answer = http.post("/v1/sessions", json=unknown)
    assert "state.memories: no such state" in refused(answer, 422, "invalid_request")["detail"]
    wrong = {"model": DECODER, "state": {**state, "memory": state["memory"][:-1]}}
    refused(http.post("/v1/sessions", json=wrong), 422, "shape_mismatch")


@pytest.mark.parametrize(
    "asked",
    [
        {"json": {"sequences": [[START]]}},
        {"json": {"sequences": [[START]], "states": None}},
        {"json": {"sequences": [[START]], "states": [None]}},
        {"json": {"sequences": [[START]], "states": [{"h": [0.0] * 32}]}},
        {"content": np.array([START]).tobytes(), "headers": RAW},
        {"content": save({"token": np.array([START])}), "headers": TENSORS},
    ],
    ids=["none", "null", "a null", "another", "raw", "safetensors"],
)
def test_a_sequence_is_not_run_without_its_fixed_states(served: Live, asked: Any) -> None:
    """As with sessions, in every encoding."""
    problem = refused(served.client.post(INFER, **asked), 422, "invalid_request")
    assert "nothing given for memory, length;" in problem["detail"]


def test_other_states_start_at_their_initial_values(served: Live, pair: Pair) -> None:
    """Only what is fixed has to be given: in JSON, in safetensors, and to a session."""
    http, word = served.client, [3, 1, 4, 1, 5]
    fixed = {name: encode(http, [word])[0][name] for name in ("memory", "length")}
    path = opened(http, fixed)
    state = state_of(http, path)
    assert not state["h"].any()
    assert not state["c"].any()
    expected, _ = pair.step(START, {**pair.start(word), "h": torch.zeros(1, 32)})
    close(step(http, path, START)["outputs"][0], expected)
    body = {"sequences": [[START]], "states": [fixed]}
    close(http.post(INFER, json=body).json()["outputs"][0][0], expected)
    tensors = {
        "token": np.array([START]),
        "state.memory": np.asarray(fixed["memory"], np.float32),
        "state.length": np.array(fixed["length"]),
    }
    headers = {**TENSORS, "Accept": "application/json"}
    answer = http.post(INFER, content=save(tensors), headers=headers)
    close(answer.json()["outputs"][0][0], expected)


def test_steps_and_resets_leave_the_fixed_states(served: Live, pair: Pair) -> None:
    """They are read as they were given; a reset begins the same word anew, a written state may be
    of another, and is given whole.
    """
    http, word = served.client, [20, 17, 4]
    given = encode(http, [word])[0]
    path = opened(http, given)
    before = state_of(http, path)
    assert np.array_equal(before["memory"], np.float32(given["memory"]))
    assert before["length"] == 3
    step(http, path, START, 4, 17)
    after = state_of(http, path)
    assert not np.array_equal(after["h"], before["h"])
    for name in ("memory", "length"):
        assert np.array_equal(after[name], before[name])
    assert http.post(f"{path}/reset").json()["position"] == 0
    anew = {**before, "h": np.zeros(32), "c": np.zeros(32)}
    assert all(np.array_equal(each, anew[name]) for name, each in state_of(http, path).items())
    part = {"state": {name: given[name] for name in ("memory", "length")}, "position": 0}
    problem = refused(http.put(f"{path}/state", json=part), 422, "invalid_request")
    assert "state.c: nothing given" in problem["detail"]
    other = [9, 9]
    whole = {**encode(http, [other])[0], "c": [0.0] * 32}
    assert http.put(f"{path}/state", json={"state": whole, "position": 7}).status_code == 200
    expected, _ = pair.step(START, pair.start(other))
    close(step(http, path, START, position=7)["outputs"][0], expected)


def test_what_stands_behind_the_length_changes_nothing(served: Live, pair: Pair) -> None:
    """Positions without a letter have no weight, whatever a client fills them with."""
    http, word = served.client, [6, 2, 8]
    given = encode(http, [word])[0]
    given["memory"] = [*given["memory"][:3], *[[1e6] * 64] * 29]
    expected, _ = pair.step(START, pair.start(word))
    close(step(http, opened(http, given), START)["outputs"][0], expected)


def test_forks_decode_on_with_the_same_memory(served: Live, pair: Pair) -> None:
    """A beam: copies of a session each take another letter, and answer as eager decoding does."""
    http, word = served.client, [11, 0, 25, 7, 7, 2]
    path = opened(http, encode(http, [word])[0])
    step(http, path, START, word[-1])
    states = pair.start(word)
    for token in (START, word[-1]):
        _, states = pair.step(token, states)
    made = http.post(f"{path}/fork", json={"count": 5}).json()
    assert made["position"] == 2
    for letter, fork in enumerate(made["sessions"]):
        answer = step(http, f"/v1/sessions/{fork['session_id']}", letter, position=2)
        close(answer["outputs"][0], pair.step(letter, states)[0])
    assert state_of(http, path)["length"] == len(word)


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


def test_lessons_are_alike(pair: Pair) -> None:
    """Taught again, after other random numbers, both come out bit-equal."""
    torch.rand(7)
    lines: list[str] = []
    again = teach(lines.append)
    assert lines
    for module, weights in zip((pair.encoder, pair.decoder), again, strict=True):
        known = module.state_dict()
        assert known.keys() == weights.keys()
        assert all(torch.equal(known[name], each) for name, each in weights.items())


def test_a_word_is_spelled_backwards_as_printed(served: Live, tmp_path: Path) -> None:
    """The script in README.md, from the word to what the decoder says."""
    assert run_script(block_with("python", "reverse-encoder"), tmp_path, served) == "lesuorac\n"
