"""Models of every layout: whatever a server says of a model, there are inputs that it takes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carousel.models.repository import Repository
from carousel_bench.settings import KINDS
from tests.client.bench.bench_rig import SHORT, benched, metric, sent
from tests.harness.layouts import LAYOUTS
from tests.harness.live import Live

NAMES = {name.replace(" ", "-").replace(",", ""): name for name in LAYOUTS}
FIXED = "fixed-constant-whole"
WHOLE = "no-state-no-time"
ALL = ("--mix", ",".join(KINDS), "--rows", "2")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of all of them."""
    folder = tmp_path_factory.mktemp("layouts")
    for name, layout in NAMES.items():
        Repository(folder).add(*LAYOUTS[layout]().artifact(name=name, kinds=("onnx",)))
    with Live(folder) as live:
        yield live


@pytest.mark.parametrize(
    ("model", "encoding"),
    [*((model, "binary") for model in NAMES), (FIXED, "json"), (WHOLE, "json")],
)
def test_each_is_served_what_it_takes(
    layouts: Live, tmp_path: Path, model: str, encoding: str
) -> None:
    """Token ids, several inputs, frames, fixed states, rows folded into an axis: nothing of it is
    refused, and as many time steps are run as it says.
    """
    before = metric(layouts.client, "carousel_model_steps_total", model=model)
    flags = ("--model", model, *SHORT, "--sessions", "2", "--closed", "--encoding", encoding)
    report = benched(layouts.url, tmp_path, *flags, *(() if model == WHOLE else ALL))
    (run,) = report["runs"]
    assert run["all"]["refused"] == run["all"]["errors"] == {}
    kinds = run["window"]["kinds"]
    assert set(kinds) == ({"sequence"} if model == WHOLE else set(KINDS))
    assert all(each["done"] for each in kinds.values())
    after = metric(layouts.client, "carousel_model_steps_total", model=model)
    assert after - before == sum(sent(report, kind, "steps") for kind in kinds)
