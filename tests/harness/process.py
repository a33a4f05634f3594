"""A program as a process of its own: started, read line by line, waited for, ended by its id."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import IO, Self

ROOT = Path(__file__).parents[2]
# By which a program finds this tree's packages, the client among them.
PATHS = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "client")))}
PATIENCE_S = 30.0
# A service that is asked to end lets requests finish first.
_STOP_S = 45.0
_TAIL_CHARACTERS = 6000
# Below those that Linux gives to whoever asks for none.
_PORTS = (20_000, 32_000)
_NEVER = "-"


class ProcessError(Exception):
    """A process that ended or was not ready in time; the message holds what it said last."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended."""

    code: int
    out: str
    err: str


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of ours, and with `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAROUSEL_")}
    return kept | dict(extra or {})


def free_port() -> int:
    """A port of this machine that nobody listens on.

    Not one that the system gives away: between a kill and a start it would be given to others.
    """
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def run_program(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path = ROOT,
    patience_s: float = PATIENCE_S,
) -> Ended:
    """Run a program that ends by itself; nobody is there to be asked."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean_env(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Process:
    """A program that is running; `env` is added to the environment, `log` takes what it says too.

    `mark`: a file by which the next process started with it ends this one, if whoever started it
    was killed before it could. Such a process is in a group of its own: Ctrl-C is not for it.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        stdin: int = subprocess.DEVNULL,
        log: Path | None = None,
        mark: Path | None = None,
        cwd: Path = ROOT,
    ) -> None:
        if mark is not None:
            _end_left_over(mark)
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=clean_env(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=None if mark is None else 0,
        )
        if mark is not None:
            mark.write_text(f"{self.pid} {_started_at(self.pid)}")
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out = _Pipe(self._process.stdout, log)
        self._err = _Pipe(self._process.stderr, log)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} pid={self.pid} code={self.code}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, once it has ended."""
        return self._process.poll()

    @property
    def logs(self) -> list[str]:
        """The lines on stderr so far."""
        return self._err.lines

    def wait_for(self, text: str, patience_s: float = PATIENCE_S) -> str:
        """The next line on stderr that holds `text`; raises ProcessError."""
        return self._wait_for(self._err, text, patience_s)

    def wait_for_printed(self, text: str, patience_s: float = PATIENCE_S) -> str:
        """The next line on stdout that holds `text`; raises ProcessError."""
        return self._wait_for(self._out, text, patience_s)

    def tail(self) -> str:
        """The end of what it said."""
        return "\n".join((*self._out.lines, *self._err.lines))[-_TAIL_CHARACTERS:]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and no other."""
        self._process.send_signal(number)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """The exit code, once it has ended."""
        code = self._process.wait(patience_s)
        self._out.close()
        self._err.close()
        return code

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self._process.kill()
        self.wait()

    def stop(self) -> None:
        """SIGTERM, if it still runs, and SIGKILL if that is not enough."""
        self._process.terminate()
        try:
            self.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait_for(self, pipe: "_Pipe", text: str, patience_s: float) -> str:
        end = time.monotonic() + patience_s
        while (line := pipe.next(end - time.monotonic())) is not None:
            if text in line:
                return line
        raise ProcessError(f"{self!r}: {text!r} did not come; it said:\n{self.tail()}")


class _Pipe:
    """What comes through a pipe, read by a thread; `log` takes a copy."""

    def __init__(self, pipe: IO[str], log: Path | None) -> None:
        self.lines: list[str] = []
        self._pipe = pipe
        self._log = log
        self._unread: Queue[str | None] = Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self, patience_s: float) -> str | None:
        """The next line; None if there is none in time, or at all."""
        try:
            return self._unread.get(timeout=max(0.0, patience_s))
        except Empty:
            return None

    def close(self) -> None:
        """Read the rest of an ended process's."""
        self._thread.join(PATIENCE_S)
        self._pipe.close()

    def _read(self) -> None:
        with nullcontext() if self._log is None else self._log.open("a", buffering=1) as log:
            for line in self._pipe:
                if log is not None:
                    log.write(line)
                self.lines.append(line.rstrip("\n"))
                self._unread.put(self.lines[-1])
        self._unread.put(None)


def _end_left_over(mark: Path) -> None:
    """End the process of somebody who was killed; it may hold a store or a port."""
    try:
        pid, started_at = mark.read_text().split()
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
