"""The service under attack: the real program on one store, killed and started again."""

import asyncio
import random
from pathlib import Path

from tests.harness.chaos.truth import Violation
from tests.harness.live import serve_command, wait_ready
from tests.harness.process import Process, ProcessError

# Longer than any pause between two runs of the harness.
_TTL_S = 30 * 24 * 3600
_EARLY_S = 0.8
_START_S = 60.0


class Victim:
    """One process at a time, each on its own free port. Owned by one event loop.

    `folder` holds the model repository and takes the log.
    """

    def __init__(self, folder: Path, store: str, seed: int) -> None:
        self.port = 0
        self.num_started = 0
        self._folder = folder.resolve()
        self._store = store
        self._rng = random.Random(seed)
        self._process: Process | None = None
        self._up = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Victim {self._store} port={self.port} up={self.is_up}>"

    @property
    def is_up(self) -> bool:
        """Whether it serves; False from just before it is killed."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Return once it serves."""
        await self._up.wait()

    async def start(self) -> None:
        """Start it and wait until it is ready; raises Violation if it does not get there."""
        self._process = process = self._launch()
        try:
            url = await asyncio.to_thread(wait_ready, process, _START_S)
        except ProcessError as error:
            raise Violation(f"the service was not ready: {error}") from None
        self.port = int(url.rpartition(":")[2])
        self.num_started += 1
        self._up.set()

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        # Before the signal: whoever loses its connection from now on knows why.
        self._up.clear()
        self._process.kill()

    async def kill_early(self) -> None:
        """Start it and kill it again somewhere on its way to ready."""
        self._process = process = self._launch()
        await asyncio.sleep(self._rng.uniform(0, _EARLY_S))
        if process.code is not None:
            raise Violation(f"the service ended by itself, {process!r}:\n{process.tail()}")
        process.kill()

    def stop(self) -> None:
        """End it as an operator would, if it runs."""
        self._up.clear()
        if self._process is not None:
            self._process.stop()

    def log_tail(self) -> str:
        """The end of what the process logged."""
        return "" if self._process is None else self._process.tail()

    def _launch(self) -> Process:
        command = serve_command(
            self._folder / "repository",
            *("--no-print-curl", "--store", self._store),
            *("--data-dir", str(self._folder), "--ttl-s", str(_TTL_S)),
        )
        return Process(command, log=self._folder / "service.log", mark=self._folder / "service.pid")
