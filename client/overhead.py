"""What a step of the client costs beside a bare httpx call that sends the same bytes.

    python overhead.py http://127.0.0.1:8000 lstm-10-20-2

Both go to the same server in turn, one by one, each to a session of its own; the server must take a
model with one float32 input. Prints the medians in microseconds.
"""

import statistics
import sys
import time
from collections.abc import Callable

import httpx
import numpy as np

from carousel_client import Client

NUM_WARM = 300
NUM_STEPS = 4000


def main(url: str, model: str) -> None:
    """Measure and print."""
    with (
        Client(url) as client,
        httpx.Client(base_url=url) as http,
        client.session(model) as session,
        client.session(model) as other,
    ):
        (info,) = session.model.inputs
        x = np.zeros((1, *info.sizes), np.float32)  # (1, F)
        path, data = f"/v1/sessions/{other.id}/steps", x.tobytes()
        position = 0

        def bare() -> None:
            nonlocal position
            headers = {
                "Content-Type": "application/octet-stream",
                "Carousel-Position": str(position),
            }
            response = http.post(path, content=data, headers=headers)
            assert response.status_code == 200, response.text
            position += 1

        _measure(bare, lambda: session.step(x))


def _measure(*calls: Callable[[], object]) -> None:
    for clock, name in ((time.perf_counter, "wall"), (time.thread_time, "CPU of the client")):
        bare, step = _medians(clock, *calls)
        print(  # noqa: T201, a script that prints
            f"{name}: httpx.Client.post {bare:.0f} us, Session.step {step:.0f} us, "
            f"difference {step - bare:+.0f} us"
        )


def _medians(clock: Callable[[], float], *calls: Callable[[], object]) -> list[float]:
    times: list[list[float]] = [[] for _ in calls]
    for index in range(NUM_WARM + NUM_STEPS):
        for call, kept in zip(calls, times, strict=True):
            begun = clock()
            call()
            if index >= NUM_WARM:
                kept.append((clock() - begun) * 1e6)
    return [statistics.median(each) for each in times]


if __name__ == "__main__":
    main(*sys.argv[1:3])
