"""Sequences that a model takes are neither too short nor too long for it: said, and answered 422.

Expected values are the modules' own.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from carousel import export_model
from tests.harness.live import Live

GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(2, 9, 4, generator=GENERATOR)


class Late(nn.Module):
    """Leaves the first two steps out, so that of two steps its layer gets none."""

    def __init__(self, layer: type[nn.GRU] | type[nn.LSTM]) -> None:
        super().__init__()
        self.layer = layer(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4) -> (B, 6)."""
        found: Tensor = self.layer(x[:, 2:])[0]
        return found[:, -1]


class Valid(nn.Module):
    """A convolution without padding: five steps give one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 5)
        self.layer = nn.LSTM(8, 6, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4) -> (B, T - 4, 12)."""
        found: Tensor = self.layer(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]
        return found


class Placed(nn.Module):
    """Adds to each step what a table has for its place."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.table = nn.Embedding(most, 4)
        self.layer = nn.GRU(4, 6, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4) -> (B, T, 12)."""
        found: Tensor = self.layer(x + self.table(torch.arange(x.shape[1])))[0]
        return found


MODELS: dict[str, tuple[Callable[[], nn.Module], int, int | None]] = {
    "late-gru": (lambda: Late(nn.GRU), 3, None),
    "late-lstm": (lambda: Late(nn.LSTM), 3, None),
    "valid": (Valid, 5, None),
    "placed-50": (lambda: Placed(50), 1, 50),
    "placed-300": (lambda: Placed(300), 1, 300),
}


@pytest.fixture(scope="module")
def modules() -> dict[str, nn.Module]:
    """The modules by name."""
    torch.manual_seed(4)
    return {name: make().eval() for name, (make, _, _) in MODELS.items()}


@pytest.fixture(scope="module")
def service(
    modules: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A service of all of them."""
    repository = tmp_path_factory.mktemp("spans")
    for name, module in modules.items():
        export_model(module, (X,), name=name, repository=repository, quiet=True)
    with Live(repository) as live:
        yield live


def drawn(num_steps: int) -> Tensor:
    """One sequence, (T, 4)."""
    return torch.randn(num_steps, 4, generator=torch.Generator().manual_seed(num_steps))


@pytest.mark.parametrize("name", MODELS)
def test_the_shortest_and_the_longest_are_answered(
    service: Live, modules: dict[str, nn.Module], name: str
) -> None:
    """As the module answers them."""
    _, least, most = MODELS[name]
    for num_steps in (least, most or 120):
        x = drawn(num_steps)
        answer = service.client.post(
            f"/v1/models/{name}/infer", json={"sequences": [x.tolist()]}
        ).json()
        with torch.no_grad():
            wanted = modules[name](x[None])[0].numpy()
        found = answer["outputs"][0]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_one_step_less_or_more_is_the_clients_mistake(service: Live, name: str) -> None:
    """422 with the bound, over REST and /v2, and the service goes on."""
    _, least, most = MODELS[name]
    wrong = [*([least - 1] if least > 1 else []), *([] if most is None else [most + 1])]
    for num_steps in wrong:
        x = drawn(num_steps)
        answer = service.client.post(f"/v1/models/{name}/infer", json={"sequences": [x.tolist()]})
        code = "shape_mismatch" if num_steps < least else "sequence_too_long"
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert f"{least} or more" in answer.text or f"{most} at most" in answer.text
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, *x.shape]}
        given = {"inputs": [tensor | {"data": x.flatten().tolist()}]}
        assert service.client.post(f"/v2/models/{name}/infer", json=given).status_code == 422
    assert service.client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize("name", MODELS)
def test_both_bounds_are_told(service: Live, name: str) -> None:
    """Where a client looks."""
    _, least, most = MODELS[name]
    told = service.client.get(f"/v1/models/{name}").json()
    assert told.get("min_steps", 1) == least
    assert most is None or told["max_steps"] == most


def test_the_report_says_how_many(tmp_path: Path) -> None:
    """In the line of what one step is."""
    short = export_model(Late(nn.GRU), (X,), name="m", repository=tmp_path, quiet=True)
    assert "a request carries 3 or more" in short.report().text()
    bounded = export_model(Placed(50), (X,), name="m", repository=tmp_path, quiet=True)
    assert "a request carries 1 to 50" in bounded.report().text()
    valid = export_model(Valid(), (X,), name="m", repository=tmp_path, quiet=True)
    assert "one for every step but 4" in valid.report().text()
