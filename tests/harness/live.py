"""The real program, started as its own process on a free port, for tests over a socket.

Each process keeps its sessions in a data folder of its own, gone with it; a test that wants to find
them again says `--data-dir` or `--store`, which win.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Self

import httpx

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0


def run_to_end(arguments: Sequence[str], env: Mapping[str, str] | None = None) -> "Ended":
    """Start the program where it is expected to end by itself at once."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "carousel.service", *arguments],
            cwd=ROOT,
            env=_own_env(folder, env),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    return Ended(done.returncode, done.stdout, done.stderr)


class Ended:
    """A program that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"<Ended code={self.code} err={self.err!r}>"


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of ours, and with `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAROUSEL_")}
    return kept | dict(extra or {})


def _own_env(folder: str, extra: Mapping[str, str] | None) -> dict[str, str]:
    return clean_env({"CAROUSEL_DATA_DIR": folder} | dict(extra or {}))


class Live:
    """A running service; ended by its process id, whatever the test did."""

    def __init__(
        self, repository: Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._data = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "carousel.service", "--port", "0"),
                *("--model-repository", str(repository), *arguments),
            ],
            cwd=ROOT,
            env=_own_env(self._data.name, env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.logs: list[str] = []
        self._lines: Queue[str | None] = Queue()
        self._printed: Queue[str | None] = Queue()
        self._readers = [
            threading.Thread(target=self._read_logs, daemon=True),
            threading.Thread(target=self._read_out, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.url = ""
        # It speaks plain HTTP: reading the certificates of all the world takes 50 ms.
        self.client = httpx.Client(timeout=PATIENCE_S, verify=False)

    def __enter__(self) -> Self:
        line = self.wait_for("listening at ")
        found = re.search(r"listening at (http://[^ ;]+)", line)
        assert found is not None, line
        self.url = found[1]
        self.client.base_url = httpx.URL(self.url)
        self.wait_for('msg="ready;')
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self._data.cleanup()

    def wait_for(self, text: str) -> str:
        """The next log line that holds `text`."""
        return self._wait_for(text, self._lines)

    def wait_for_printed(self, text: str) -> str:
        """The next line on stdout that holds `text`."""
        return self._wait_for(text, self._printed)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and no other."""
        os.kill(self.process.pid, number)

    def wait(self) -> int:
        """The exit code, once the process has ended."""
        code = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return code

    def _wait_for(self, text: str, lines: "Queue[str | None]") -> str:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = lines.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise AssertionError(f"{text!r} did not come; {self.logs}") from None
            if line is None:
                raise AssertionError(f"ended without {text!r}; {self.logs}")
            if text in line:
                return line.rstrip("\n")

    def _read_logs(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.logs.append(line.rstrip("\n"))
            self._lines.put(line)
        self._lines.put(None)

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._printed.put(line)
        self._printed.put(None)
