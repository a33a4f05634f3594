"""Every version opens the session stores that earlier ones left, as record_stores.py made them."""

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.harness.client import MODEL, TOLERANCE, Client, numbers, refused
from tests.harness.live import Live
from tests.harness.record_stores import KEPT, MODELS, PIECES, sequence
from tests.harness.redis_server import RedisServer, require_redis

RECORDED = Path(__file__).parents[3] / "recorded" / "stores"
STORES = [(version.name, kind) for version in RECORDED.iterdir() for kind in ("sqlite", "redis")]


@contextmanager
def reopened(version: str, kind: str, folder: Path) -> Iterator[Live]:
    """A service on a copy of the store."""
    shutil.copytree(RECORDED / version / kind, folder / "store")
    if kind == "sqlite":
        with Live(MODELS, "--data-dir", str(folder / "store"), *KEPT) as service:
            yield service
        return
    require_redis()
    with (
        RedisServer(folder / "store") as server,
        Live(MODELS, "--store", server.url, *KEPT) as service,
    ):
        yield service


def continued(model: str, x: Any, steps: int) -> Any:
    """The last outputs of the model's own TorchScript over all of a session's steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated TorchScript; the service's are not
        program = torch.jit.load(MODELS / model / "1" / "model.ts")  # type: ignore[no-untyped-call]
    manifest = json.loads((MODELS / model / "1" / "manifest.json").read_text())
    states = [
        torch.zeros([1 if size == "batch" else size for size in each["axes"]])
        for each in manifest["spec"]["states"]
    ]
    with torch.no_grad():
        return program(torch.from_numpy(x).unsqueeze(1), *states)[0][-steps:, 0].numpy()


@pytest.mark.parametrize(("version", "kind"), STORES)
def test_a_store_of_an_earlier_version_goes_on(version: str, kind: str, tmp_path: Path) -> None:
    """States, recorded replies, forks, sequences and what has expired are all there."""
    told = json.loads((RECORDED / version / "told.json").read_text())[kind]
    before = np.concatenate([numbers(steps, 10, seed=i) for i, steps in enumerate(PIECES)])
    with reopened(version, kind, tmp_path) as service:
        http = service.client
        for name, each in told["sessions"].items():
            client, last = Client(http, name), each["replies"][-1]
            assert http.get(f"{client.path}/state").json() == each["state"]
            again = client.step(numbers(PIECES[-1], 10, seed=2), position=sum(PIECES[:-1]))
            assert again["outputs"] == last["outputs"]
            assert client.position == sum(PIECES)
        for name, model in (("other", "gru-10-20-2"), ("forked", MODEL)):
            more = numbers(2, 10, seed=5)
            found = Client(http, name).step(more, position=sum(PIECES))["outputs"]
            wanted = continued(model, np.concatenate([before, more]), 2)
            np.testing.assert_allclose(np.squeeze(found), wanted, atol=TOLERANCE)
        after = sequence(http, numbers(1, 10, seed=10))["parameters"]
        assert after["session_id"] == told["sequence"]["parameters"]["session_id"]
        assert after["position"] == told["sequence"]["parameters"]["position"] + 1
        refused(Client(http, "gone").post(numbers(1, 10)), 410, "session_expired")
