"""The benchmark of protocols as Markdown."""

from collections.abc import Sequence

from benchmarks.findings import Findings, sections
from benchmarks.plan import Plan
from benchmarks.process import can_pin
from benchmarks.report import machine

_LINES = """\
| load | way | steps/s | of the first | p50 ms | p99 ms | us/step | rows/batch | client |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def render(found: Sequence[Findings], plan: Plan) -> str:
    """The whole report."""
    return sections(_head(plan), _LINES, found)


def _head(plan: Plan) -> str:
    placed = (
        "the service on one core, the load on another"
        if can_pin()
        else "service and load on the same cores"
    )
    return (
        "Carousel with the memory store and ONNX programs, by each protocol; medians of "
        f"{plan.num_runs} runs of {plan.window_s:g} s, in turns, ratios run by run, {placed}.\n"
        f"{machine()}\n\n"
        "small: LSTM(10, 20, 2); a step is one request or message of one time step, and each "
        "connection waits for its reply before its next. us: the service's time on its core for "
        "one step. client: the load's share of its core. Positions and outputs were checked."
    )
