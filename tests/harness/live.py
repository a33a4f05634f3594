"""The real program, started as its own process on a free port, for tests over a socket.

Each process keeps its sessions in a data folder of its own, gone with it; a test that wants to find
them again says `--data-dir` or `--store`, which win.
"""

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.harness.process import PATIENCE_S, ROOT, Ended, Process, run_program

# It takes a second, and has been seen to take half a minute on a machine with other things to do.
_START_S = 90.0


def run_to_end(arguments: Sequence[str], env: Mapping[str, str] | None = None) -> Ended:
    """Start the program where it is expected to end by itself at once."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "carousel.service", *arguments]
        return run_program(command, {"CAROUSEL_DATA_DIR": folder} | dict(env or {}))


def serve_command(
    repository: Path, *arguments: str, module: Sequence[str] = ("carousel.service",)
) -> list[str]:
    """The words that start it; `module`, with arguments of its own, in place of the service."""
    return [
        *(sys.executable, "-m", *module, "--port", "0"),
        *("--model-repository", str(repository), *arguments),
    ]


def wait_ready(process: Process, patience_s: float = _START_S) -> str:
    """The service's address, once it is ready; raises ProcessError."""
    line = process.wait_for("listening at ", patience_s)
    found = re.search(r"listening at (http://[^ ;]+)", line)
    assert found is not None, line
    process.wait_for('msg="ready;', patience_s)
    return found[1]


class Live(Process):
    """A running service, and a client of it; elsewhere than here it needs the PATHS of process."""

    def __init__(
        self,
        repository: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self._data = tempfile.TemporaryDirectory()
        known = {"CAROUSEL_DATA_DIR": self._data.name} | dict(env or {})
        super().__init__(serve_command(repository, *arguments), known, cwd=cwd)
        self.url = ""
        # It speaks plain HTTP: reading the certificates of all the world takes 50 ms.
        self.client = httpx.Client(timeout=PATIENCE_S, verify=False)

    @property
    def data_folder(self) -> Path:
        """Where it keeps its sessions, unless it was told another place."""
        return Path(self._data.name)

    def __enter__(self) -> Self:
        try:
            self.url = wait_ready(self)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.client.base_url = httpx.URL(self.url)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        super().__exit__(kind, error, trace)
        self._data.cleanup()
