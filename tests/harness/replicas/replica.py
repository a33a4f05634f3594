"""One of several services on one store: a real process that is paused, woken, killed and started
again.
"""

import asyncio
import signal
from pathlib import Path

from tests.harness.chaos.truth import Violation
from tests.harness.live import serve_command, wait_ready
from tests.harness.process import Process, ProcessError

_START_S = 60.0


class Replica:
    """`repository`: of the models. `module`: what is run in place of the service.

    `num_wakes`: how often it stood still and went on. Owned by one event loop.
    """

    def __init__(self, name: str, folder: Path, repository: Path, store: str, *module: str) -> None:
        self.name = name
        self.port = 0
        self.is_up = False
        self.is_paused = False
        self.num_wakes = 0
        self._folder = folder
        self._command = serve_command(
            repository,
            *("--no-print-curl", "--store", store, "--data-dir", str(folder)),
            module=module or ("carousel.service",),
        )
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"<Replica {self.name} port={self.port} up={self.is_up} paused={self.is_paused}>"

    async def start(self) -> None:
        """Start it and wait until it is ready; raises Violation if it does not get there."""
        self._process = process = Process(
            self._command,
            log=self._folder / f"{self.name}.log",
            mark=self._folder / f"{self.name}.pid",
        )
        try:
            url = await asyncio.to_thread(wait_ready, process, _START_S)
        except ProcessError as error:
            raise Violation(f"replica {self.name} was not ready: {error}") from None
        self.port = int(url.rpartition(":")[2])
        self.is_up = True

    def pause(self) -> None:
        """SIGSTOP: it does nothing, and its connections stay as they are."""
        self.is_paused = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on in the middle of what it was doing."""
        self._signal(signal.SIGCONT)
        self.is_paused = False
        self.num_wakes += 1

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        # Before the signal: whoever loses its connection from now on knows why.
        self.is_up = self.is_paused = False
        self._process.kill()

    def stop(self) -> None:
        """End it, whatever it is at."""
        if self._process is not None:
            self.kill()

    def log_tail(self) -> str:
        """The end of what it logged."""
        return "" if self._process is None else self._process.tail()

    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self.is_up and self._process is not None and self._process.code is not None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.signal(number)
