"""A process that the harness starts: in a group of its own, as Ctrl-C is for the harness alone,
and ended at the next start if the harness was killed before it could.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.harness.live import ROOT, clean_env

_STOP_S = 45.0
_NEVER = "-"


class Child:
    """Runs a command; its output is appended to `<name>.log` in `folder`."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self._mark = folder / f"{name}.pid"
        self._end_left_over()
        self._path = folder / f"{name}.log"
        with self._path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        pid = self._process.pid
        self._mark.write_text(f"{pid} {_started_at(pid)}")

    def __repr__(self) -> str:
        return f"<Child {self._mark.stem} pid={self._process.pid}>"

    @property
    def code(self) -> int | None:
        """The exit code, once it has ended."""
        return self._process.poll()

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end for a while; whether it came."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def log(self) -> str:
        """What it has said so far."""
        with self._path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _end_left_over(self) -> None:
        """End the process of a harness that was killed; it holds the store."""
        try:
            pid, started_at = self._mark.read_text().split()
        except (FileNotFoundError, ValueError):
            return
        # The number alone might be another process's by now.
        if started_at == _started_at(int(pid)) != _NEVER:
            os.kill(int(pid), signal.SIGKILL)


def _started_at(pid: int) -> str:
    """When a process started, in the kernel's ticks; `_NEVER` where there is none, or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _NEVER
    return stat.rpartition(")")[2].split()[19]
