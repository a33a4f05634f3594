"""Lifted states over a socket: sessions side by side, whole sequences, and where a session ends."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from carousel import export_model
from tests.export.lifting import cells, mixed
from tests.export.lifting.case import Case
from tests.harness.live import Live

CASES: dict[str, Case] = {
    "cell": cells.CASES["lstm_dict_state"],
    "table": mixed.CASES["position_table"],
}
MOST = 64  # rows of the table
CALLERS, STEPS = 4, 12


@pytest.fixture(scope="module")
def modules() -> dict[str, nn.Module]:
    """The modules by name."""
    torch.manual_seed(5)
    return {name: case.make().eval() for name, case in CASES.items()}


@pytest.fixture(scope="module")
def service(
    modules: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A service of both."""
    repository = tmp_path_factory.mktemp("lifted")
    for name, module in modules.items():
        export_model(module, CASES[name].example(), name=name, repository=repository, quiet=True)
    with Live(repository) as live:
        yield live


def wire(name: str, x: Tensor) -> Any:
    """The sequence as clients send it: a model of one row at a time says so by an axis of 1."""
    return x.tolist() if name == "cell" else x[:, None].tolist()


def drawn(name: str, seed: int, steps: int) -> Tensor:
    """One sequence, (T, F)."""
    features = CASES[name].example()[0].shape[-1]
    return torch.randn(steps, features, generator=torch.Generator().manual_seed(seed))


def expect(found: Any, module: nn.Module, x: Tensor) -> None:
    """Answers are what the untouched module gives to one sequence."""
    with torch.no_grad():
        wanted: Tensor = module(x[None])[0]
    torch.testing.assert_close(torch.tensor(found).reshape(wanted.shape), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_sessions_side_by_side_are_answered_as_whole_sequences(
    service: Live, modules: dict[str, nn.Module], name: str
) -> None:
    """In turns, a few steps a request, each with a state of its own."""
    sequences = [drawn(name, seed, STEPS) for seed in range(CALLERS)]
    opened = [
        service.client.post("/v1/sessions", json={"model": name}).json()["session_id"]
        for _ in sequences
    ]
    answers: list[list[Any]] = [[] for _ in sequences]
    for start, end in ((0, 1), (1, 6), (6, 7), (7, STEPS)):
        for index, session in enumerate(opened):
            body = {"inputs": wire(name, sequences[index][start:end])}
            reply = service.client.post(f"/v1/sessions/{session}/steps", json=body)
            assert reply.status_code == 200, reply.text
            answers[index] += reply.json()["outputs"]
    for x, found in zip(sequences, answers, strict=True):
        expect(found, modules[name], x)


def test_whole_sequences_of_several_lengths_are_run_step_by_step(
    service: Live, modules: dict[str, nn.Module]
) -> None:
    """In one request."""
    sequences = [drawn("cell", 20 + steps, steps) for steps in (1, 5, 30)]
    body = {"sequences": [x.tolist() for x in sequences]}
    answer = service.client.post("/v1/models/cell/infer", json=body).json()
    for x, found in zip(sequences, answer["outputs"], strict=True):
        expect(found, modules["cell"], x)


def test_a_session_ends_where_the_table_of_positions_does(
    service: Live, modules: dict[str, nn.Module]
) -> None:
    """The last position is answered; one more is the client's mistake, and changes nothing."""
    x = drawn("table", 9, MOST + 1)
    session = service.client.post("/v1/sessions", json={"model": "table"}).json()["session_id"]
    steps = f"/v1/sessions/{session}/steps"
    first = service.client.post(steps, json={"inputs": wire("table", x[: MOST - 1])})
    assert first.status_code == 200, first.text
    for _ in range(2):
        beyond = service.client.post(steps, json={"inputs": wire("table", x[MOST - 1 :])})
        assert (beyond.status_code, beyond.json()["code"]) == (422, "sequence_too_long")
        assert f"takes {MOST} in all" in beyond.json()["detail"]
    last = service.client.post(steps, json={"inputs": wire("table", x[MOST - 1 : MOST])})
    found = first.json()["outputs"] + last.json()["outputs"]
    expect(found, modules["table"], x[:MOST])
    told = service.client.get("/v1/models/table").json()
    assert told["max_steps"] == MOST
    whole_one = service.client.post(
        "/v1/models/table/infer", json={"sequences": [wire("table", x)]}
    )
    assert whole_one.status_code == 422
