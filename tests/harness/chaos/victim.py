"""The service under attack: the real program on one store, killed and started again."""

import asyncio
import random
import re
import sys
from pathlib import Path

from tests.harness.chaos.child import Child
from tests.harness.chaos.truth import Violation

# Longer than any pause between two runs of the harness.
_TTL_S = 30 * 24 * 3600
_EARLY_S = 0.8
_START_S = 60.0
_POLL_S = 0.01
_LOG_CHARACTERS = 6000


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
        self._child: Child | None = None
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
        self._child = child = self._launch()
        try:
            async with asyncio.timeout(_START_S):
                while 'msg="ready;' not in (log := child.log()):
                    _require_running(child)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise Violation(f"the service was not ready in time:\n{child.log()}") from None
        found = re.search(r"listening at http://127\.0\.0\.1:(\d+)", log)
        assert found is not None, log
        self.port = int(found[1])
        self.num_started += 1
        self._up.set()

    def kill(self) -> None:
        """kill -9."""
        assert self._child is not None
        # Before the signal: whoever loses its connection from now on knows why.
        self._up.clear()
        self._child.kill()

    async def kill_early(self) -> None:
        """Start it and kill it again somewhere on its way to ready."""
        self._child = child = self._launch()
        await asyncio.sleep(self._rng.uniform(0, _EARLY_S))
        _require_running(child)
        child.kill()

    def stop(self) -> None:
        """End it as an operator would, if it runs."""
        self._up.clear()
        if self._child is not None and self._child.code is None:
            self._child.stop()

    def log_tail(self) -> str:
        """The end of what the process logged."""
        return "" if self._child is None else self._child.log()[-_LOG_CHARACTERS:]

    def _launch(self) -> Child:
        command = [
            *(sys.executable, "-m", "carousel.service", "--port", "0", "--no-print-curl"),
            *("--model-repository", str(self._folder / "repository")),
            *("--store", self._store, "--data-dir", str(self._folder), "--ttl-s", str(_TTL_S)),
        ]
        return Child("service", command, self._folder)


def _require_running(child: Child) -> None:
    if child.code is not None:
        raise Violation(f"the service ended by itself with {child.code}:\n{child.log()}")
