"""What it counts, against what the service has counted itself."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.client.bench.bench_rig import SHORT, bench, benched, metric, sent
from tests.harness.client import MODEL
from tests.harness.live import Live

ROUTES = {
    "step": "/v1/sessions/{session_id}/steps",
    "sequence": "/v1/models/{model}/infer",
    "bulk": "/v1/steps",
}
ALL = "step=4,sequence,bulk,stream=2"


def _seen(live: Live, model: str) -> dict[str, float]:
    """Requests by kind, and time steps in all."""
    http = live.client
    steps = metric(http, "carousel_model_steps_total", model=model)
    return {"steps": steps} | {
        kind: metric(http, "carousel_http_requests_total", route=route, status="200")
        for kind, route in ROUTES.items()
    }


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        (MODEL, ("--mix", ALL, "--processes", "2", "--rows", "3", "--closed")),
        (MODEL, ("--mix", ALL, "--encoding", "json", "--steps", "2", "--rate", "50,100")),
        ("tokens", ("--mix", ALL, "--closed")),
        ("bilstm-10-20-2", ("--length", "7", "--closed")),
        ("attention", ("--closed", "--encoding", "json")),
    ],
)
def test_it_counts_what_the_service_counts(
    live: Live, tmp_path: Path, model: str, flags: tuple[str, ...]
) -> None:
    """Every request and every time step, of each kind, from any number of processes; and afterwards
    no session is left.
    """
    before = _seen(live, model)
    report = benched(live.url, tmp_path, "--model", model, *SHORT, *flags)
    after = _seen(live, model)
    kinds = report["probe"]["kinds"]
    for kind in kinds.keys() & ROUTES.keys():
        assert sent(report, kind) == after[kind] - before[kind] > 0
    assert sum(sent(report, kind, "steps") for kind in kinds) == after["steps"] - before["steps"]
    assert live.client.get("/v1/sessions").json()["sessions"] == []
    for run in report["runs"]:
        assert run["window"]["done"] == sum(each["done"] for each in run["series"]) > 0
        assert run["window"]["refused"] == run["window"]["errors"] == {}


def test_the_tour_ends_with_the_knee(live: Live, tmp_path: Path) -> None:
    """Without flags: one session, all of them, and rates up to the one that is held; as a table,
    as JSON, and as a page that holds all it needs.
    """
    page = tmp_path / "page.html"
    flags = ("--seconds", "1", "--warmup", "0", "--sessions", "8", "--html", str(page))
    report = benched(live.url, tmp_path, "--model", MODEL, *flags)
    loops = [each["loop"] for each in report["runs"]]
    assert loops[:3] == ["closed", "closed", "open"]
    knee = report["knee"]
    assert knee["tried"] == [each["rate"] for each in report["runs"][2:]]
    if knee["rate"] is not None:
        held = [each["window"] for each in report["runs"] if each["rate"] == knee["rate"]]
        assert held[-1]["latency_ms"]["p99"] <= knee["p99_ms"]
        assert not any(held[-1][each] for each in ("refused", "errors", "unsent"))
    text = page.read_text()
    assert "<script" not in text
    assert "http" not in text.replace(live.url, "")
    pictures = [each.partition("</svg>")[0] + "</svg>" for each in text.split("<svg")[1:]]
    assert len(pictures) == 3
    for each in pictures:
        assert ElementTree.fromstring(f"<svg{each}").findall("polyline")


def test_json_on_standard_output_is_alone_there(live: Live) -> None:
    """So that another program can read it; the table is beside it."""
    ended = bench(live.url, "--model", MODEL, *SHORT, "--closed", "--json", "-")
    assert ended.out.startswith("{\n")
    assert ended.out.endswith("}\n")
    assert "requests/s" in ended.err
