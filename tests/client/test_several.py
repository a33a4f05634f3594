"""The Python client with a model of several inputs and outputs that keeps state."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from carousel import export_model
from carousel_client import AsyncClient, Client
from carousel_client.errors import InvalidRequest
from tests.client.client_rig import close
from tests.harness.client import numbers
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S

NAME = "pair"
BOTH = {"x": numbers(12, 3, seed=21), "gate": numbers(12, 2, seed=22)}


class Pair(nn.Module):
    """Two inputs through one GRU; its output, and what the gate lets through."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 2)

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (T, B, 3) and gate (T, B, 2) give (T, B, 2) twice."""
        output: torch.Tensor = self.gru(torch.cat([x, gate], 2))[0]
        return output, output * torch.sigmoid(gate)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    """The module itself."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        return Pair().eval()


@pytest.fixture(scope="module")
def pair(module: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of it."""
    folder = tmp_path_factory.mktemp("pair")
    example = (torch.randn(4, 2, 3), torch.randn(4, 2, 2))
    names = ("hidden", "mixed")
    export_model(module, example, name=NAME, repository=folder, output_names=names, quiet=True)
    with Live(folder) as live:
        yield live


@pytest.fixture(scope="module")
def whole(module: nn.Module) -> dict[str, Any]:
    """One eager run over both."""
    given = (torch.from_numpy(BOTH[each])[:, None] for each in ("x", "gate"))
    with torch.inference_mode():
        outputs = module(*given)
    return dict(zip(("hidden", "mixed"), (each[:, 0].numpy() for each in outputs), strict=True))


def rows(begin: int, end: int) -> dict[str, Any]:
    """Some time steps of both inputs."""
    return {name: each[begin:end] for name, each in BOTH.items()}


def joined(parts: list[Any]) -> dict[str, Any]:
    """The outputs of several pieces as one."""
    return {name: np.concatenate([each[name] for each in parts]) for name in ("hidden", "mixed")}


def test_they_go_by_name(pair: Live, whole: dict[str, Any]) -> None:
    """In steps, in streams and as whole sequences, with state and without."""
    with Client(pair.url, retry_s=PATIENCE_S) as client, client.session(NAME) as session:
        parts = [session.step(rows(0, 1)), session.step(rows(1, 4), return_state=True).outputs]
        parts += session.stream(rows(at, at + 2) for at in range(4, 12, 2))
        assert session.position == 12
        for found in (
            joined(parts),
            client.infer(NAME, BOTH),
            client.infer(NAME, [BOTH])[0],
        ):
            assert found.keys() == whole.keys()
            for name, each in whole.items():
                assert found[name].dtype == np.float32
                close(found[name], each)


def test_what_does_not_fit_together_is_refused(pair: Live) -> None:
    """A missing name, an array without one, and lengths that differ; nothing moves."""
    wrong = ({"x": BOTH["x"]}, BOTH["x"], {"x": BOTH["x"], "gate": BOTH["gate"][:3]})
    with Client(pair.url) as client, client.session(NAME) as session:
        for each in wrong:
            with pytest.raises(InvalidRequest):
                session.step(each)
            with pytest.raises(InvalidRequest):
                next(session.stream([each]))
        assert session.info().position == 0


def test_they_go_by_name_in_asyncio(pair: Live, whole: dict[str, Any]) -> None:
    """The same through the other client."""

    async def run() -> None:
        async with AsyncClient(pair.url) as client, client.session(NAME) as session:
            parts = [await session.step(rows(0, 3))]
            parts += [y async for y in session.stream(rows(at, at + 1) for at in range(3, 12))]
            for name, each in joined(parts).items():
                close(each, whole[name])

    asyncio.run(run())
