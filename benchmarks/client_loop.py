"""One session stepped by the Python client and one by bare HTTP calls, in turns, against a service.

`python -m benchmarks.client_loop PORT MODEL FEATURES SECONDS` prints the median of each in us. A
process of its own, which finds the client on PYTHONPATH.
"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median

import httpx
import numpy as np

from carousel_client import Client

_WARMUP = 200


def main(port: int, model: str, num_features: int, seconds: float) -> None:
    """Step both, call by call in turns; the two sessions must answer the same."""
    url = f"http://127.0.0.1:{port}"
    frame = np.random.default_rng(0).standard_normal((1, num_features), dtype=np.float32)
    headers = {"Content-Type": "application/octet-stream"}
    with Client(url) as client, client.session(model) as session, httpx.Client() as bare:
        opened = bare.post(f"{url}/v1/sessions", json={"model": model}).raise_for_status().json()
        path = f"{url}/v1/sessions/{opened['session_id']}"

        def call() -> bytes:
            return bare.post(f"{path}/steps", content=frame.tobytes(), headers=headers).content

        def step() -> bytes:
            outputs = session.step(frame)
            assert isinstance(outputs, np.ndarray)
            return outputs.tobytes()

        spent: tuple[list[float], list[float]] = [], []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(spent[0]) <= _WARMUP:
            # Who goes first changes, so that neither always finds the service just woken.
            turns = (0, 1) if len(spent[0]) % 2 else (1, 0)
            found = [b"", b""]
            for turn in turns:
                found[turn], took = _timed((call, step)[turn])
                spent[turn].append(took)
            if found[0] != found[1]:
                sys.exit("the client's outputs differ from those of the bare call")
        bare.delete(path)
    us = [median(each[_WARMUP:]) * 1e6 for each in spent]
    sys.stdout.write(json.dumps({"bare_us": us[0], "client_us": us[1]}))


def _timed(call: Callable[[], bytes]) -> tuple[bytes, float]:
    began = time.perf_counter()
    found = call()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
