"""A benchmark in parts: its options, what it needs beforehand, and where its report goes."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.findings import Findings
from benchmarks.framing import LoadError
from benchmarks.plan import Plan
from benchmarks.progress import run_export, say
from tests.harness.process import ProcessError


@dataclass(frozen=True, slots=True)
class Suite:
    """`name`: of the module and of the report. `num_sessions`: those of the figures with many, and
    fewer of them with --quick. `num_runs` of `window_s` seconds, unless asked otherwise.
    """

    name: str
    about: str
    parts: Mapping[str, Callable[[Plan], Findings]]
    render: Callable[[Sequence[Findings], Plan], str]
    num_sessions: tuple[int, int] = (0, 0)
    num_runs: int = 3
    window_s: float = 3.0

    def run(self) -> int:
        """Run the benchmark; 1 if a server failed or answered wrong. A missed figure is not a
        failure.
        """
        if sys.platform != "linux":
            say("bench: cores are assigned and processes watched through Linux's own interfaces")
            return 1
        options = self._parse()
        results: Path = options.results
        repository = results / "model-repository"
        try:
            run_export(["benchmarks.artifacts", str(repository)])
            with TemporaryDirectory(dir=results, prefix=f"{self.name}-") as scratch:
                plan = Plan(
                    repository=repository,
                    scratch=Path(scratch),
                    logs=results / "logs",
                    num_sessions=self.num_sessions[options.quick],
                    num_runs=options.runs,
                    window_s=options.seconds,
                    say=say,
                )
                parts = [part for part in self.parts if part in (options.only or self.parts)]
                report = self.render([self.parts[part](plan) for part in parts], plan)
        except (ProcessError, LoadError, subprocess.SubprocessError) as error:
            say(f"bench: {error}")
            return 1
        (results / f"{self.name}.md").write_text(report)
        sys.stdout.write(report)
        return 0

    def _parse(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{self.name}", description=self.about
        )
        few = f", with {self.num_sessions[1]:,} sessions" if self.num_sessions[1] else ""
        parser.add_argument("--quick", action="store_true", help="one short run" + few)
        seconds, runs = self.window_s, self.num_runs
        parser.add_argument(
            "--seconds", type=float, help=f"length of one run (default {seconds:g}; quick: 1)"
        )
        parser.add_argument(
            "--runs", type=int, help=f"runs of each load (default {runs}; quick: 1)"
        )
        parser.add_argument(
            "--only", action="append", choices=list(self.parts), help="this part; may be repeated"
        )
        parser.add_argument(
            "--results",
            type=Path,
            default=Path("bench-results"),
            help="folder for the report and, meanwhile, what is measured (default bench-results)",
        )
        options = parser.parse_args()
        options.seconds = options.seconds or (1.0 if options.quick else seconds)
        options.runs = options.runs or (1 if options.quick else runs)
        if options.seconds <= 0 or options.runs < 1:
            parser.error("--seconds must be above 0 and --runs at least 1")
        return options
