"""Samples of resident memory, and how fast it grows. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory and the store's file, `at_s` seconds after the service started."""

    at_s: float
    rss_mb: float
    file_mb: float = 0.0


def slope_mb_per_hour(samples: Sequence[Sample], warm_up_s: float) -> float | None:
    """By least squares, over what came after the warm-up; None where that is too little to say."""
    kept = [each for each in samples if each.at_s >= warm_up_s]
    if len(kept) < 10:
        return None
    mean_at = sum(each.at_s for each in kept) / len(kept)
    mean_mb = sum(each.rss_mb for each in kept) / len(kept)
    spread = sum((each.at_s - mean_at) ** 2 for each in kept)
    together = sum((each.at_s - mean_at) * (each.rss_mb - mean_mb) for each in kept)
    return together / spread * _HOUR_S if spread else None
