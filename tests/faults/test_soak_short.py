"""Sessions that come and go leave nothing behind: the short form of `python -m tests.harness.soak`.

It sees that the churn is answered as it should be; how memory grows takes an hour to say.
"""

import asyncio
from pathlib import Path

import pytest

from tests.harness.soak.command import verdict
from tests.harness.soak.memory import Sample, slope_mb_per_hour
from tests.harness.soak.progress import Progress, load_progress
from tests.harness.soak.run import Run

_ACTS = ("session", "sequence", "stream", "bulk", "fork", "infer", "errors", "leave")


def test_churn_is_answered_and_continued(tmp_path: Path) -> None:
    """Every act, no 5xx, nothing in the log; a second part goes on where the first ended."""
    progress = Progress("memory", 1)
    for goal_s in (4, 6):
        run = Run(progress, tmp_path, goal_s, 0, 4, 100)
        asyncio.run(run.go("memory", lambda line: None))
        assert run.is_done
    assert progress.findings == []
    assert set(_ACTS) <= progress.counts.keys()
    assert len(progress.parts) == 2
    assert load_progress(tmp_path) == progress


def test_a_slope_is_the_line_through_all_samples() -> None:
    """Growth before the warm-up does not count, and too few samples say nothing."""
    cold = [Sample(at, 50.0 + at) for at in range(0, 100, 5)]
    warm = [Sample(at, 200.0 + at / 1800) for at in range(100, 1000, 5)]
    assert slope_mb_per_hour([*cold, *warm], 100) == pytest.approx(2.0)
    assert slope_mb_per_hour(cold[:9], 0) is None
    assert not verdict(Progress("memory", 1, parts=[warm]), 100)[1]
    flat = [Sample(at, 200.0 + at % 2) for at in range(100, 1000, 5)]
    assert verdict(Progress("memory", 1, parts=[flat]), 100)[1]
