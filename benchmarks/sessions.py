"""What durable sessions cost: the session stores beside the memory store, many sessions in one
file, idle ones, and restarts.

Starts the service on each store on 127.0.0.1, checks its answers against eager PyTorch, and writes
the figures to bench-results/sessions.md and to the screen.
"""

import sys

from benchmarks.idle import measure_idle
from benchmarks.restart import measure_restart
from benchmarks.sessions_report import render
from benchmarks.spread import measure_spread
from benchmarks.stores import measure_stores
from benchmarks.suite import Suite

SUITE = Suite(
    name="sessions",
    about=__doc__,
    parts={
        "stores": measure_stores,
        "spread": measure_spread,
        "restart": measure_restart,
        "idle": measure_idle,
    },
    render=render,
    num_sessions=(100_000, 10_000),
)

if __name__ == "__main__":
    sys.exit(SUITE.run())
