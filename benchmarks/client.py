"""What the Python client adds to a bare HTTP call."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.cases import SMALL
from benchmarks.figures import Figure
from benchmarks.findings import Findings
from benchmarks.plan import Plan
from benchmarks.process import LOAD_CORE, pinned

_AIM_US = 60.0
_LIMIT_S = 60.0
_CLIENT = Path(__file__).parents[1] / "client"


def measure_client(plan: Plan) -> Findings:
    """Medians of a step by the client and by httpx, on one session each, in turns."""
    added, shown = [], []
    with plan.running("client", "memory") as server:
        for _ in range(plan.num_runs):
            found = _loop(server.port, plan.window_s)
            added.append(found["client_us"] - found["bare_us"])
            shown.append(f"{found['bare_us']:.0f} and {found['client_us']:.0f}")
            plan.say(f"bare httpx and the client: {shown[-1]} us a step")
    note = (
        "Client: a step of one session, small model, binary, by `httpx.Client.post` and by the "
        f"client's `session.step`, medians of each run in us: {'; '.join(shown)}."
    )
    what = "client: a step, beyond a bare httpx call"
    return Findings([Figure(what, median(added), "<", _AIM_US, " us")], notes=[note])


def _loop(port: int, seconds: float) -> dict[str, float]:
    arguments = [str(port), SMALL.model, str(SMALL.input_size), str(seconds)]
    with pinned(LOAD_CORE):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.client_loop", *arguments],
            env=os.environ | {"PYTHONPATH": str(_CLIENT)},
            check=True,
            timeout=_LIMIT_S + seconds,
            stdout=subprocess.PIPE,
        )
    result: dict[str, float] = json.loads(done.stdout)
    return result
