"""Single steps over a long time, among neighbours that come and go, beside float64."""

from pathlib import Path

import numpy as np
import pytest

from carousel.service.engine.request import NO_SLOT, Request
from tests.gpu.bench import NUM_INPUTS, apart, check_states, in_float64, lstm_bench, lstm_case
from tests.harness.places import Place, places

# Beside float64 in one piece. Measured over 10,000 steps on x86-64, by the late link: 8e-8.
BOUND = 1e-5


def _num_steps(place: Place) -> int:
    """The way to a device is the same after the thousandth step; the arithmetic may not be."""
    return 10_000 if place.where == "cuda" else 1_000


@pytest.mark.timeout(100)
@pytest.mark.parametrize("place", places("late", "cuda"))
def test_a_long_session_drifts_no_further_than_rounding(place: Place, tmp_path: Path) -> None:
    """Its outputs all the way and its state at the end; neighbours are up to 100 times louder."""
    rng = np.random.default_rng(11)
    case, bench = lstm_case(), lstm_bench(place, tmp_path)
    x = rng.standard_normal((_num_steps(place), NUM_INPUTS)).astype(np.float32)  # (T, F)
    slot = NO_SLOT
    neighbours = [NO_SLOT] * 31
    found = []
    request: Request | None = None
    for step in range(len(x)):
        request = bench.request(x[step : step + 1], source=slot, commits=step == len(x) - 1)
        count = int(rng.integers(0, 32))
        noise = (rng.standard_normal((count, 1, NUM_INPUTS)) * rng.choice([1, 100])).astype("f4")
        others = [
            bench.request(noise[n], source=neighbours[n], commits=False) for n in range(count)
        ]
        bench.run([*others[: count // 2], request, *others[count // 2 :]])
        found.append(request.outputs["y"][0])
        bench.free(slot)
        slot = request.target
        for n, other in enumerate(others):
            bench.free(neighbours[n])
            neighbours[n] = other.target
    outputs, states = in_float64(case, x)
    assert apart(np.stack(found), outputs) <= BOUND
    assert request is not None
    check_states(bench, request, states, BOUND)
