"""`python -m tests.harness.record_stores FOLDER`: session stores as this version leaves them, for
tests that every later version opens them.

A service of the recorded models runs on each kind of store, and what it is asked for and answers is
written beside the store. Sessions live for a century, so that they are not gone when they are read.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.harness.client import MODEL, Client, numbers
from tests.harness.live import Live
from tests.harness.redis_server import RedisServer

MODELS = Path(__file__).parents[1] / "recorded" / "models"
CENTURY_S = 100 * 365 * 86400.0
KEPT = ("--max-ttl-s", f"{CENTURY_S}", "--ttl-s", f"{CENTURY_S}", "--tombstone-s", f"{CENTURY_S}")
PIECES = (3, 1, 2)  # steps of each request
SEQUENCE = 7
OTHER = "gru-10-20-2"
_GONE_S = 1


def fill(http: httpx.Client) -> dict[str, Any]:
    """Make sessions of each kind; what was asked and answered."""
    found: dict[str, Any] = {"sessions": {}}
    for model, name in ((MODEL, "steps"), (OTHER, "other")):
        answer = http.post("/v1/sessions", json={"model": model, "session_id": name})
        assert answer.status_code == 201, answer.text
        client, replies, start = Client(http, name), [], 0
        for index, steps in enumerate(PIECES):
            x = numbers(steps, 10, seed=index)
            replies.append(client.step(x, position=start))
            start += steps
        state = http.get(f"{client.path}/state").json()
        found["sessions"][name] = {"model": model, "replies": replies, "state": state}
    forked = http.post("/v1/sessions/steps/fork", json={"session_ids": ["forked"]})
    assert forked.status_code == 201, forked.text
    found["sequence"] = sequence(http, numbers(1, 10, seed=9), start=True)
    short = {"model": MODEL, "session_id": "gone", "ttl_s": _GONE_S}
    assert http.post("/v1/sessions", json=short).status_code == 201
    gone = Client(http, "gone")
    gone.step(numbers(1, 10))
    while gone.post(numbers(1, 10), position=99).status_code != 410:
        pass  # a step at a wrong position does not keep it alive
    return found


def sequence(http: httpx.Client, x: Any, *, start: bool = False) -> Any:
    """One step of a sequence of the Open Inference Protocol."""
    asked = {
        "parameters": {"sequence_id": SEQUENCE, "sequence_start": start},
        "inputs": [
            {
                "name": "input",
                "shape": [len(x), 1, 10],
                "datatype": "FP32",
                "data": x.flatten().tolist(),
            }
        ],
    }
    answer = http.post(f"/v2/models/{MODEL}/infer", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def main() -> int:
    """Record both kinds."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        data, redis = Path(scratch) / "data", Path(scratch) / "redis"
        redis.mkdir()
        with Live(MODELS, "--data-dir", str(data), *KEPT) as service:
            told = {"sqlite": fill(service.client)}
        with (
            RedisServer(redis) as server,
            Live(MODELS, "--store", server.url, *KEPT) as service,
        ):
            told["redis"] = fill(service.client)
        passing = shutil.ignore_patterns("*-shm", "*.lock")
        shutil.copytree(data, folder / "sqlite", ignore=passing)
        shutil.copytree(redis, folder / "redis")
    (folder / "told.json").write_text(json.dumps(told, separators=(",", ":")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
