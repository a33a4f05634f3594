"""What reports say of numbers that a test has made up."""

import json
from collections import Counter
from typing import Any

import pytest

from carousel_bench.bench import Result
from carousel_bench.flags import read
from carousel_bench.histogram import Histogram
from carousel_bench.load.crew import Measured
from carousel_bench.load.phase import Phase
from carousel_bench.load.work import Seat
from carousel_bench.report.document import document
from carousel_bench.report.page import page
from carousel_bench.report.table import table
from carousel_bench.run import Knee, Run
from carousel_bench.tally import Count, Tally
from carousel_bench.target import read_target
from tests.client.described import describe

SEATS = (Seat("a", "", ()), Seat("b", "", ()))
# Each second: a hundred requests of a millisecond each, and their time steps.
SECOND = Count(done=100, steps=300, latency=Histogram([0.001] * 100))


def run_of(name: str, rate: float | None, *tallies: Tally, share: float = 0.5) -> Run:
    """A run of as many seconds, with a second of warm-up before and one of stragglers behind."""
    measured = Measured(Phase(SEATS, rate, 1, len(tallies), 0), cpu_shares=[share], is_whole=True)
    odd = Tally({"step": Count(done=7_777, latency=Histogram([9.0]))})
    for second, tally in enumerate((odd, *tallies, odd), -1):
        measured.tallies[second].merge(tally)
    return Run(name, measured)


def result_of(*runs: Run, name: str = "m", knee: Knee | None = None) -> Result:
    """A result on a model of that name."""
    result = Result(read(["http://host"], {}).settings)
    result.target = read_target(describe(name=name))
    result.runs, result.knee, result.num_processes = list(runs), knee, 2
    return result


def rows_of(result: Result) -> dict[str, list[str]]:
    """The table's lines by their first column."""
    lines = table(result).split("\n\n")[0].splitlines()[1:]
    return {line[:10].strip(): line[10:].split() for line in lines}


def test_only_what_was_measured_counts() -> None:
    """Rates are per second of the window; neither the warm-up nor what came late is in them."""
    result = result_of(run_of("closed", None, Tally({"step": SECOND}), Tally({"step": SECOND})))
    assert rows_of(result)["closed"] == ["100", "300", *["1.00"] * 5, "0", "0", "0", "0"]
    (run,) = document(result)["runs"]
    assert run["window"]["done"] == 200
    assert run["all"]["done"] == 200 + 2 * 7_777
    assert [each["done"] for each in run["series"]] == [100, 100]


def test_what_was_never_sent_is_in_the_percentiles_as_a_least() -> None:
    """A hundred quick requests beside three hundred that waited two seconds for nothing: the median
    is two seconds, at least.
    """
    tally = Tally({"step": SECOND}, unsent=300, waiting=Histogram([2.0] * 300))
    result = result_of(run_of("open", 400.0, tally))
    assert rows_of(result)["open"][2:7] == [">2,000"] * 5
    assert "300 requests were due and not sent" in table(result)
    assert result.runs[0].shortfall(5000) == "300 requests were due and never sent"


@pytest.mark.parametrize(
    ("tally", "word"),
    [
        (Tally({"step": SECOND}), None),
        (Tally({"step": Count(refused=Counter({"503 queue_full": 2}))}), "2 x 503 queue_full"),
        (Tally({"step": Count(1, 1, Histogram([0.06]))}), "p99 was 60.0 ms"),
        (Tally(), "no reply came"),
    ],
)
def test_a_rate_is_held_by_all_or_not_at_all(tally: Tally, word: str | None) -> None:
    """With p99 under what was asked for, nothing refused, nothing lost, nothing unsent."""
    assert run_of("open", 100.0, tally).shortfall(50) == word


def test_its_own_limit_is_told() -> None:
    """A process that takes all of its core, or one request in fifty that it sent late."""
    busy = run_of("busy", None, Tally({"step": SECOND}), share=0.95)
    late = run_of("late", 100.0, Tally({"step": SECOND}, late=2))
    fine = run_of("fine", 100.0, Tally({"step": SECOND}, late=1, queued=50))
    assert [each.is_generator_limited for each in (busy, late, fine)] == [True, True, False]
    said = table(result_of(busy, late, fine))
    assert "own limit (busy: 95% of a core, 0 sent late; late: 50% of a core, 2 sent late)" in said


@pytest.mark.parametrize(
    ("knee", "said"),
    [
        (Knee(500.0, 50, (500.0, 600.0), "p99 was 60.0 ms", False), "The knee: 500 requests/s"),
        (Knee(500.0, 50, (500.0,), None, False), "500 requests/s with p99 under 50 ms and no"),
        (Knee(500.0, 50, (500.0, 600.0), "p99 was 60 ms", True), "this load generator cannot say"),
        (Knee(None, 50, (500.0, 2.5), "p99 was 60 ms", False), "not even 2.5 requests/s"),
    ],
)
def test_the_knee_is_a_sentence(knee: Knee, said: str) -> None:
    """Found, not reached, hidden by the load generator, or not there."""
    assert said in table(result_of(knee=knee))


def test_a_page_says_foreign_words_as_they_are() -> None:
    """The name of a model and the words of a server are no HTML."""
    bad = "<script>alert(1)</script>"
    tally = Tally({"step": SECOND}, details={"503": bad})
    tally.of("step").refused["503"] += 1
    text = page(result_of(run_of(bad, None, tally), name=bad))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 3


def test_a_document_is_json_whatever_happened() -> None:
    """Also without a single reply."""
    found: dict[str, Any] = json.loads(json.dumps(document(result_of(run_of("x", 1.0, Tally())))))
    assert found["runs"][0]["window"]["latency_ms"] is None
