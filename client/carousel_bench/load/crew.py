"""The load processes, as their parent has them: started, told phases, merged, stopped."""

import multiprocessing
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from carousel_bench.failure import Failure
from carousel_bench.load.phase import Failed, Phase, Progressed, Report, Stop
from carousel_bench.load.work import Job
from carousel_bench.load.worker import run_worker
from carousel_bench.tally import Tally

_STOP_S = 3.0
_LOOK_S = 0.5


@dataclass(slots=True)
class Measured:
    """A phase as it went. `tallies` by second, the warm-up negative; `cpu_shares`: of each
    process. `is_gone`: the server was lost; `is_whole`: it came to its end.
    """

    phase: Phase
    tallies: defaultdict[int, Tally] = field(default_factory=lambda: defaultdict(Tally))
    cpu_shares: list[float] = field(default_factory=list)
    is_gone: bool = False
    is_whole: bool = False


class Crew:
    """Processes that make the load of one job together; a context manager."""

    def __init__(self, job: Job, num_processes: int) -> None:
        self._job = job
        self._num_processes = num_processes
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection[Phase | Stop, Report]] = []

    def __repr__(self) -> str:
        return f"<Crew processes={self._num_processes}>"

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        with _ignored_interrupts():
            for _ in range(self._num_processes):
                ours, theirs = context.Pipe()
                process = context.Process(target=run_worker, args=(self._job, theirs), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(Stop())
            pipe.close()
        until = time.monotonic() + _STOP_S
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                process.kill()

    def run(self, measured: Measured, look: Callable[[], None]) -> None:
        """Do its phase, and put into it what all processes count; `look` is called now and then.
        Raises Failure.
        """
        phase, num = measured.phase, min(self._num_processes, len(measured.phase.seats))
        busy = self._pipes[:num]
        for index, pipe in enumerate(busy):
            seats = phase.seats[index::num]
            # The sum of Poisson processes is one.
            rate = None if phase.rate is None else phase.rate * len(seats) / len(phase.seats)
            seed = phase.seed + index
            pipe.send(Phase(seats, rate, phase.warmup_s, phase.seconds, seed))
        failed: list[str] = []
        while busy:
            ready = wait(busy, _LOOK_S)
            for pipe in [each for each in busy if each in ready]:
                report = _received(pipe)
                if isinstance(report, Progressed):
                    for second, tally in report.tallies.items():
                        measured.tallies[second].merge(tally)
                    continue
                busy.remove(pipe)
                if isinstance(report, Failed):
                    failed.append(report.why)
                    for other in busy:
                        other.send(Stop())
                else:
                    measured.cpu_shares.append(report.cpu_share)
                    measured.is_gone |= report.is_gone
            look()
        if failed:
            raise Failure(f"no connection to {self._job.url}: {failed[0]}")
        measured.is_whole = not measured.is_gone


def _received(pipe: "Connection[Phase | Stop, Report]") -> Report:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        raise Failure("a load process has ended by itself; was it killed?") from None


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """A process that is started meanwhile ignores Ctrl-C from its first instruction on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
