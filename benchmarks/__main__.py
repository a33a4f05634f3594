"""Carousel under load beside a bare ASGI echo and the FastAPI app most people write.

Starts the three servers on 127.0.0.1, drives them in turns, checks the answers of Carousel and of
the naive app against eager PyTorch, and writes one table to bench-results/ and to the screen.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.cases import Case, all_cases, quick_cases
from benchmarks.figures import make_figures, measure_start
from benchmarks.load import LoadError
from benchmarks.measure import Bench, dump_results
from benchmarks.process import Server, ServerError
from benchmarks.report import render
from benchmarks.targets import Carousel, Echo, Naive, make_servers, serve_arguments

_EXPORT_S = 600


def main() -> int:
    """Run the benchmark; 1 if a server failed or answered wrong. A missed figure is not a
    failure.
    """
    if sys.platform != "linux":
        _say("bench: cores are assigned and processes watched through Linux's own interfaces")
        return 1
    options = _parse()
    results: Path = options.results
    repository = results / "model-repository"
    logs = results / "logs"
    try:
        _export(["benchmarks.artifacts", str(repository)])
        zoo: Path = options.model_repository
        _export(["export", "--zoo", "all", "--if-missing", "--model-repository", str(zoo)])
        start = measure_start(Server("zoo", serve_arguments(zoo), "/readyz", logs / "zoo.log"))
        _say(f"start to ready {start.ready_s:.2f} s, {start.resident_mb:.0f} MB resident")
        servers = make_servers(repository, logs)
        try:
            for server in servers:
                server.start()
            carousel, echo, naive = servers
            sizes: dict[Case, int] = {}
            bench = Bench(Carousel(carousel), Naive(naive), Echo(echo, sizes), sizes)
            cases = quick_cases() if options.quick else all_cases()
            measured = bench.measure(cases, options.runs, options.seconds, _say)
            figures = make_figures(measured, start, repository)
        finally:
            for server in servers:
                server.stop()
    except (ServerError, LoadError, subprocess.SubprocessError) as error:
        _say(f"bench: {error}")
        return 1
    report = render(measured, figures, options.runs, options.seconds)
    (results / "benchmark.md").write_text(report)
    (results / "benchmark.jsonl").write_text(dump_results(measured))
    sys.stdout.write(report)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short run of the cases that the figures need"
    )
    parser.add_argument("--seconds", type=float, help="length of one run (default 3; quick: 1)")
    parser.add_argument(
        "--runs", type=int, help="runs of each case and server (default 3; quick: 1)"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("bench-results"),
        help="folder for the report (default bench-results)",
    )
    parser.add_argument(
        "--model-repository",
        type=Path,
        default=Path("model-repository"),
        help="the reference models, for start time and memory (default model-repository)",
    )
    options = parser.parse_args()
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    options.runs = options.runs or (1 if options.quick else 3)
    if options.seconds <= 0 or options.runs < 1:
        parser.error("--seconds must be above 0 and --runs at least 1")
    return options


def _export(arguments: list[str]) -> None:
    _say("python -m " + " ".join(arguments))
    subprocess.run(
        [sys.executable, "-m", *arguments], check=True, timeout=_EXPORT_S, stdout=sys.stderr
    )


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
