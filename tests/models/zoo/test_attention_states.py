"""What never changes in a session of the attention decoder, and what does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from carousel.models.zoo.reverse import (
    START,
)
from tests.harness.client import RAW, TENSORS, refused
from tests.harness.live import Live
from tests.models.zoo.reversing import (
    DECODER,
    INFER,
    Pair,
    close,
    encode,
    export_pair,
    opened,
    state_of,
    step,
    taught,
)


@pytest.fixture(scope="module")
def pair() -> Pair:
    """Both modules, taught."""
    return taught()


@pytest.fixture(scope="module")
def models(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of both."""
    return export_pair(pair, tmp_path_factory.mktemp("reverse"))


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Live]:
    """A service of both, as it starts by itself."""
    with Live(models) as live:
        yield live


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
