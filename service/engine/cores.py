"""How many cores this process may use: by its affinity, and by what its container is allowed."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def count_cores(cgroup: Path = _CGROUP) -> int:
    """At least 1. A quota of one and a half cores is two: a run on either is not in the other's
    way. Source of the files: the kernel's cgroup-v2 and sched-bwc pages.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Cores that the container's quota is worth; None where there is none."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        match [word for name in names for word in _words(cgroup / name)]:
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period) > 0:
                return int(quota) / int(period)
    return None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
