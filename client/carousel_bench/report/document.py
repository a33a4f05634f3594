"""The report for programs: one JSON document."""

import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from carousel_bench.bench import Result
from carousel_bench.histogram import Histogram
from carousel_bench.report.table import notes
from carousel_bench.run import Knee, Run
from carousel_bench.tally import Tally, total
from carousel_client.endpoint import user_agent

# Rises when a member changes its meaning or goes.
FORMAT = 1
PERCENTS = (50.0, 90.0, 99.0, 99.9)


def document(result: Result) -> dict[str, Any]:
    """All that was measured, latencies in ms. `window` is what was measured of a run, `all` is with
    its warm-up and what came after the end. With the requests of the `probe`, which tries each kind
    before the runs, that is all that was ever sent.
    """
    target, job = result.target, result.job
    return {
        "format": FORMAT,
        "client": user_agent(),
        "started_at": datetime.fromtimestamp(result.started_at, UTC).isoformat("T", "seconds"),
        "machine": {
            "python": platform.python_version(),
            "platform": sys.platform,
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        },
        "server": {"url": result.settings.url, "version": result.server_version},
        "model": None
        if target is None
        else {
            "name": target.model.name,
            "version": target.model.version,
            "program": target.model.program,
            "device": target.model.device,
            "streaming": target.model.streaming,
        },
        "settings": result.settings.shown(),
        "mix": {} if job is None else dict(zip(job.kinds, job.weights, strict=True)),
        "processes": result.num_processes,
        "probe": _tally(result.probe),
        "runs": [_run(each) for each in result.runs],
        "knee": None if result.knee is None else _knee(result.knee),
        "notes": notes(result),
    }


def _run(run: Run) -> dict[str, Any]:
    phase = run.measured.phase
    seconds = run.measured.tallies
    return {
        "name": run.name,
        "loop": "closed" if phase.rate is None else "open",
        "sessions": len(phase.seats),
        "rate": phase.rate,
        "warmup_s": phase.warmup_s,
        "seconds": run.seconds,
        "is_whole": run.measured.is_whole,
        "is_generator_limited": run.is_generator_limited,
        "cpu_shares": [round(each, 3) for each in run.measured.cpu_shares],
        "window": _tally(run.window),
        "all": _tally(total(seconds.values())),
        "series": [
            {"second": second, **_tally(seconds.get(second, Tally()))}
            for second in range(run.seconds)
        ],
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "done": tally.done,
        "steps": tally.steps,
        "latency_ms": latency_ms(tally.latency),
        "refused": dict(tally.refused),
        "errors": dict(tally.errors),
        "queued": tally.queued,
        "late": tally.late,
        "unsent": tally.unsent,
        "kinds": {
            kind: {
                "done": count.done,
                "steps": count.steps,
                "latency_ms": latency_ms(count.latency),
                "refused": dict(count.refused),
                "errors": dict(count.errors),
            }
            for kind, count in tally.kinds.items()
        },
    }


def latency_ms(latency: Histogram) -> Mapping[str, float] | None:
    """The percentiles by name; None where nothing was answered."""
    found = {f"p{each:g}": latency.percentile(each) for each in PERCENTS}
    found["max"] = latency.percentile(100)
    return {
        name: round(1000 * value, 4) for name, value in found.items() if value is not None
    } or None


def _knee(knee: Knee) -> dict[str, Any]:
    return {
        "rate": knee.rate,
        "p99_ms": knee.p99_ms,
        "tried": list(knee.tried),
        "above": knee.above,
        "is_generator_limited": knee.is_generator,
    }
