"""The service with its stages timed: `python -m benchmarks.profile.server CLOCK SOCKET ...`, and
behind that the service's own arguments.

Whoever connects to SOCKET, a Unix one, is told what was spent so far, as JSON.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from benchmarks.profile.stage_clock import StageClock, measure_cost
from benchmarks.profile.stages import wrap, wrap_all
from carousel.service.__main__ import main as serve

CLOCKS: dict[str, Callable[[], int]] = {
    "cpu": time.thread_time_ns,
    "wall": time.perf_counter_ns,
}


def main() -> None:
    """Serve until a signal ends it."""
    name, path = sys.argv[1:3]
    del sys.argv[1:3]
    now = CLOCKS[name]
    cost = measure_cost(now, lambda clock, function: wrap(clock, "empty", function))
    clock = StageClock(now)
    wrap_all(clock, with_waits=name == "cpu")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def tell() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                spent = {stage: asdict(each) for stage, each in clock.totals().items()}
                told = {"cost": asdict(cost), "spent": spent}
                connection.sendall(json.dumps(told).encode())

    threading.Thread(target=tell, name="profile", daemon=True).start()
    serve()


if __name__ == "__main__":
    main()
