"""The table and the figures as Markdown."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

from benchmarks.cases import SESSIONS, Case
from benchmarks.figures import Figure
from benchmarks.measure import Result
from benchmarks.process import can_pin

WHOLE_CORE = 0.85
_HEADER = """\
| model | sessions | wire | steps/s | p50 ms | p99 ms | us/step | rows/batch | echo/s | of echo \
| echo us | naive/s | times naive | client |
| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def render(
    results: Sequence[Result], figures: Sequence[Figure], num_runs: int, window_s: float
) -> str:
    """The whole report."""
    placed = (
        "the servers on one core, the load on another"
        if can_pin()
        else "servers and load on the same cores: compare the ratios alone"
    )
    return (
        f"Carousel with the memory store and ONNX programs; median of {num_runs} runs of "
        f"{window_s:g} s, servers in turns, {placed}.\n"
        f"{machine()}{_busy(results)}\n\n"
        "small: LSTM(10, 20, 2), medium: LSTM(256, 512, 2); a step is one request of one time "
        "step. echo: a bare ASGI callable on the same uvicorn, same sizes in and out. naive: "
        "FastAPI, pydantic, eager nn.LSTM, a dict of states (JSON, also beside binary). us: "
        "the server's time on its core for one step. client: the load's share of its core, at the "
        "echo.\n\n"
        + _HEADER
        + "".join(_line(each, results) for each in results if each.server == "carousel")
        + "\n| figure | measured | aim | reached |\n| --- | ---: | ---: | --- |\n"
        + "".join(f"{figure}\n" for figure in figures)
    )


def machine() -> str:
    """Where and with what it was measured."""
    tools = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "torch", "uvicorn"))
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}, {tools}."
    )


def _busy(results: Sequence[Result]) -> str:
    """A warning where the echo, which has enough to do, did not get its whole core."""
    shares = [
        each.steps_s * each.cpu_us / 1e6
        for each in results
        if each.server == "echo" and each.case.sessions == max(SESSIONS)
    ]
    if not shares or min(shares) > WHOLE_CORE:
        return ""
    return (
        f" **Other programs used the cores too (the echo got {min(shares):.0%} of its own): "
        "compare the us, not the steps/s.**"
    )


def _line(result: Result, results: Sequence[Result]) -> str:
    case = result.case
    echo = _of("echo", case, results)
    naive = _of("naive", Case(case.size, case.sessions, "json"), results)
    cells = [
        case.size.name,
        str(case.sessions),
        case.encoding,
        f"{result.steps_s:,.0f}",
        f"{result.p50_ms:.2f}",
        f"{result.p99_ms:.2f}",
        f"{result.cpu_us:.0f}",
        f"{result.rows:.1f}",
        f"{echo.steps_s:,.0f}" if echo else "",
        f"{result.steps_s / echo.steps_s:.2f}" if echo else "",
        f"{echo.cpu_us:.0f}" if echo else "",
        f"{naive.steps_s:,.0f}" if naive else "",
        f"{result.steps_s / naive.steps_s:.1f}" if naive else "",
        f"{echo.client_share:.0%}" if echo else "",
    ]
    return "| " + " | ".join(cells) + " |\n"


def _of(server: str, case: Case, results: Sequence[Result]) -> Result | None:
    return next((each for each in results if (each.server, each.case) == (server, case)), None)
