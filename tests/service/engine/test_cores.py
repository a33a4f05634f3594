"""Cores are what affinity leaves, and no more than a container's quota, as its kernel writes it."""

import os
from pathlib import Path

import pytest

from carousel.service.engine.cores import count_cores

HERE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, HERE),
        ({"cpu.max": "max 100000\n"}, HERE),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, min(2, HERE)),
        ({"cpu.max": "99900000 100000\n"}, HERE),
        ({"cpu.max": "garbage\n"}, HERE),
        ({"cpu.max": "100000 0\n"}, HERE),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, HERE),
        ({"cpu/cpu.cfs_quota_us": "20000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
)
def test_a_quota_bounds_the_cores(files: dict[str, str], cores: int, tmp_path: Path) -> None:
    """Either version of control groups; what says nothing sensible bounds nothing."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert count_cores(tmp_path) == cores
