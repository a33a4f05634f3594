"""One of several services on one store: a real process that is paused, woken, killed and started
again.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.chaos.truth import Violation
from tests.harness.live import ROOT, clean_env

_START_S = 60.0
_POLL_S = 0.02
_LOG_CHARACTERS = 3000


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
        self._log = folder / f"{name}.log"
        self._command = [
            *(sys.executable, "-m", *(module or ("carousel.service",))),
            *("--port", "0", "--no-print-curl", "--model-repository", str(repository)),
            *("--store", store, "--data-dir", str(folder)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Replica {self.name} port={self.port} up={self.is_up} paused={self.is_paused}>"

    async def start(self) -> None:
        """Start it and wait until it is ready; raises Violation if it does not get there."""
        process = self._process = self._launch()
        end = time.monotonic() + _START_S
        while 'msg="ready;' not in (said := self._log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > end:
                raise Violation(f"replica {self.name} was not ready:\n{said}")
            await asyncio.sleep(_POLL_S)
        found = re.search(r"listening at http://127\.0\.0\.1:(\d+)", said)
        assert found is not None, said
        self.port = int(found[1])
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
        self._process.wait()

    def stop(self) -> None:
        """End it, whatever it is at."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def log_tail(self) -> str:
        """The end of what it logged."""
        return self._log.read_text(errors="replace")[-_LOG_CHARACTERS:]

    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self.is_up and self._process is not None and self._process.poll() is not None

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=clean_env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the harness alone.
                process_group=0,
            )

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
