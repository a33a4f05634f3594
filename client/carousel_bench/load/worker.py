"""A load process: it is sent phases through a pipe, and tells what it counted."""

import asyncio
import signal
from contextlib import suppress
from multiprocessing.connection import Connection

from carousel_bench.load.connection import CannotConnect
from carousel_bench.load.drive import Parent, drive
from carousel_bench.load.event_loop import make_loop
from carousel_bench.load.phase import Failed, Phase, Progressed, Report, Stop
from carousel_bench.load.work import Job
from carousel_bench.server import endpoint_of


def run_worker(job: Job, pipe: "Connection[Report, Phase | Stop]") -> None:
    """Do as the pipe says, until it ends. Ctrl-C is the parent's: it tells."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _allow_connections()
    endpoint = endpoint_of(job.url, job.api_key)

    def is_stopped() -> bool:
        # Also where the parent is gone: what can be read then is the end.
        return pipe.poll()

    parent = Parent(lambda tallies: pipe.send(Progressed(tallies)), is_stopped)
    with (
        suppress(EOFError, BrokenPipeError, ConnectionResetError),
        asyncio.Runner(loop_factory=make_loop) as runner,
    ):
        while True:
            phase = pipe.recv()
            if isinstance(phase, Stop):
                continue
            try:
                pipe.send(runner.run(drive(job, endpoint, phase, parent)))
            except CannotConnect as error:
                pipe.send(Failed(str(error)))


def _allow_connections() -> None:
    """A shell often allows 1,024 files a process, and the system many more to one that asks."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
