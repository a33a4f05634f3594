"""The benchmark of durable sessions as Markdown."""

from collections.abc import Sequence

from benchmarks.findings import Findings, Line, sections
from benchmarks.plan import Plan
from benchmarks.process import can_pin
from benchmarks.report import WHOLE_CORE, machine

_LINES = """\
| load | store | steps/s | of memory | of memory, 128 | p50 ms | p99 ms | us/step | core \
| rows/batch | slowest commit ms | client |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def render(found: Sequence[Findings], plan: Plan) -> str:
    """The whole report."""
    lines = [line for each in found for line in each.lines if isinstance(line, Line)]
    return sections(_head(plan) + _busy(lines), _LINES, found)


def _head(plan: Plan) -> str:
    placed = (
        "the services on one core, the load and Redis on another"
        if can_pin()
        else "services, load and Redis on the same cores"
    )
    return (
        f"Carousel's session stores, binary steps; medians of {plan.num_runs} runs of "
        f"{plan.window_s:g} s, stores in turns, ratios run by run, {placed}.\n{machine()}\n\n"
        "small: LSTM(10, 20, 2), medium: LSTM(256, 512, 2); a step is one request of one time "
        "step. sqlite: durability process; redis: append-only file, synced once a second. "
        "128 connections; with more sessions than that, each connection steps those of its own "
        "share in random order. of memory: steps/s beside the memory store under the same load; "
        "of memory, 128: beside the memory store with 128 sessions. us: the service's time on its "
        "core for one step; core: its share of that core. slowest commit: since the service's "
        "start. client: the load's share of its core. Positions and outputs were checked."
    )


def _busy(lines: Sequence[Line]) -> str:
    """A warning where the memory store, which waits for nobody, did not get its whole core."""
    shares = [line.core for line in lines if line.result.server == "memory"]
    if not shares or min(shares) > WHOLE_CORE:
        return ""
    return (
        f" **Other programs used the cores too (the memory store got {min(shares):.0%} of its "
        "own): compare the us, not the steps/s.**"
    )
