"""A server under test: started on its own core, watched through /proc, ended by its process id."""

import contextlib
import http.client
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.harness.process import Process, ProcessError, free_port

SERVER_CORE = 0
LOAD_CORE = 1
_POLL_S = 0.005


def can_pin() -> bool:
    """Whether this machine has a core for the server and another for the load."""
    return sys.platform == "linux" and {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run the body, and the processes it starts, on one core; elsewhere than on Linux anywhere."""
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A process that listens on a port of 127.0.0.1 and answers `ready` with 200 when it is up."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        ready: str,
        log: Path,
        *,
        is_pinned: bool = True,
    ) -> None:
        self.name = name
        self._is_pinned = is_pinned
        self.port = free_port()
        self.log = log
        self._ready = ready
        self._arguments = [sys.executable, "-m", *arguments, "--port", str(self.port)]
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"<Server {self.name} port={self.port}>"

    @property
    def pid(self) -> int:
        """The process id; the server has been started."""
        assert self._process is not None
        return self._process.pid

    def start(self, deadline_s: float = 60.0) -> float:
        """Start it, on the server's core if it is pinned; returns the seconds until it is ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with pinned(SERVER_CORE) if self._is_pinned else contextlib.nullcontext():
            process = Process(self._arguments, {"OMP_NUM_THREADS": "1"}, log=self.log)
        self._process = process
        while not self._is_ready():
            if process.code is not None or time.perf_counter() - began > deadline_s:
                self.kill()
                raise ProcessError(f"{self.name} was not ready; {process!r}:\n{process.tail()}")
            time.sleep(_POLL_S)
        return time.perf_counter() - began

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL if that is not enough."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def kill(self) -> None:
        """End it by SIGKILL; it has been started."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()

    def resident_mb(self) -> float:
        """Resident memory in MB (10**6 bytes)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise ProcessError(f"{self.name}: /proc has no VmRSS")

    def cpu_s(self) -> float:
        """Time on a core so far, all threads together: what other programs take is not in it."""
        return cpu_s(self.pid)

    def has_torch(self) -> bool:
        """Whether torch's library is mapped into the process."""
        return "libtorch" in Path(f"/proc/{self.pid}/maps").read_text()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1.0)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def cpu_s(pid: int) -> float:
    """A process's time on a core so far, all threads together."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
