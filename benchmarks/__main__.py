"""Carousel under load beside a bare ASGI echo and the FastAPI app most people write.

Starts the three servers on 127.0.0.1, drives them in turns, checks the answers of Carousel and of
the naive app against eager PyTorch, and writes one table to bench-results/ and to the screen.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.cases import Case, all_cases, quick_cases
from benchmarks.figures import make_figures, measure_start
from benchmarks.framing import LoadError
from benchmarks.measure import Bench, dump_results
from benchmarks.process import Server
from benchmarks.progress import run_export, say
from benchmarks.report import render
from benchmarks.targets import Carousel, Echo, Naive, Target, make_servers, serve_arguments
from tests.harness.process import ProcessError


def main() -> int:
    """Run the benchmark; 1 if a server failed or answered wrong. A missed figure is not a
    failure.
    """
    if sys.platform != "linux":
        say("bench: cores are assigned and processes watched through Linux's own interfaces")
        return 1
    options = _parse()
    results: Path = options.results
    repository = results / "model-repository"
    logs = results / "logs"
    try:
        run_export(["benchmarks.artifacts", str(repository)])
        zoo: Path = options.model_repository
        run_export(["export", "--zoo", "all", "--if-missing", "--model-repository", str(zoo)])
        start = measure_start(Server("zoo", serve_arguments(zoo), "/readyz", logs / "zoo.log"))
        say(f"start to ready {start.ready_s:.2f} s, {start.resident_mb:.0f} MB resident")
        servers = make_servers(repository, logs)
        try:
            for server in servers:
                server.start()
            carousel, echo, naive = servers
            sizes: dict[Case, int] = {}
            targets: dict[str, Target] = {
                "carousel": Carousel(carousel),
                "echo": Echo(echo, sizes),
                "naive": Naive(naive),
            }
            bench = Bench(targets, sizes)
            cases = quick_cases() if options.quick else all_cases()
            measured = bench.measure(cases, options.runs, options.seconds, say)
            figures = make_figures(measured, start, repository)
        finally:
            for server in servers:
                server.stop()
    except (ProcessError, LoadError, subprocess.SubprocessError) as error:
        say(f"bench: {error}")
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


if __name__ == "__main__":
    sys.exit(main())
