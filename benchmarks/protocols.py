"""The same model by every way: WebSocket, `/v2` and columns of many sessions beside `/v1` over
HTTP, Silero VAD beside its package's own loops, the Python client beside a bare HTTP call; and what
two cores are good for.

Starts the service with the memory store on 127.0.0.1, checks its answers against eager PyTorch and
against the package, and writes the figures to bench-results/protocols.md and to the screen.
"""

import sys

from benchmarks.client import measure_client
from benchmarks.columns import measure_columns
from benchmarks.cores import measure_cores
from benchmarks.oip import measure_oip
from benchmarks.protocols_report import render
from benchmarks.silero import measure_silero
from benchmarks.streams import measure_streams
from benchmarks.suite import Suite

SUITE = Suite(
    name="protocols",
    about=__doc__,
    parts={
        "streams": measure_streams,
        "oip": measure_oip,
        "columns": measure_columns,
        "cores": measure_cores,
        "silero": measure_silero,
        "client": measure_client,
    },
    render=render,
    # Many short turns: the machine's own pace changes from one second to the next.
    num_runs=9,
    window_s=1.0,
)

if __name__ == "__main__":
    sys.exit(SUITE.run())
