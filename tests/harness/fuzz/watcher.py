"""The watcher, a process of its own beside a service under attack: `/livez` every 20 ms on its own
connection, and the service's resident memory, until SIGTERM; then one line of JSON.

How late the watcher itself was woken is told beside the slowest answer: on a machine that is busy
with others, both are.
"""

import json
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from tests.harness.process import PATHS, Process, clean_env

_EVERY_S = 0.02
_PATIENCE_S = 30.0
_REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
_QUIET_S = 1.5


@dataclass(slots=True)
class Watched:
    """What was seen: the slowest answer, how late the watcher was, probes without a 200, memory."""

    probes: int = 0
    slowest_ms: float = 0.0
    above_100_ms: int = 0
    late_ms: float = 0.0
    unanswered: int = 0
    rss_before_mb: float = 0.0
    rss_peak_mb: float = 0.0
    rss_after_mb: float = 0.0


class Watcher:
    """Starts with `with`, and ends with it; then `seen` is there."""

    def __init__(self, port: int, pid: int) -> None:
        self.seen = Watched()
        self._pid = pid
        module = "tests.harness.fuzz.watcher"
        self._command = [sys.executable, "-m", module, str(port), str(pid)]

    def __repr__(self) -> str:
        return f"<Watcher {self.seen}>"

    def __enter__(self) -> "Watcher":
        self._process = Process(self._command, clean_env(PATHS))
        self._process.wait_for_printed("watching")
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            process.signal(signal.SIGTERM)
            self.seen = Watched(**json.loads(process.wait_for_printed("{")))


def resident_mb(pid: int) -> float:
    """The resident memory of a process; 0 where there is no such process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmRSS")),
        0.0,
    )


class _Probe:
    """A connection that asks for `/livez`, opened again where it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def __repr__(self) -> str:
        return f"<_Probe {self._port}>"

    def ask(self) -> bool:
        """Whether the answer was 200."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), _PATIENCE_S)
            self._socket.sendall(_REQUEST)
            data = self._socket.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._socket = None
        return data.startswith(b"HTTP/1.1 200 ")


def _watch(port: int, pid: int, is_over: Callable[[], bool]) -> Watched:
    seen, probe = Watched(), _Probe(port)
    probe.ask()
    seen.rss_before_mb = seen.rss_peak_mb = resident_mb(pid)
    over_at: float | None = None
    while over_at is None or time.monotonic() < over_at + _QUIET_S:
        began = time.monotonic()
        if over_at is None and is_over():
            over_at = began
        answered = probe.ask()
        took_ms = (time.monotonic() - began) * 1000
        seen.probes += 1
        seen.slowest_ms = max(seen.slowest_ms, took_ms)
        seen.above_100_ms += took_ms > 100
        seen.unanswered += not answered
        seen.rss_peak_mb = max(seen.rss_peak_mb, resident_mb(pid))
        asleep = time.monotonic()
        time.sleep(_EVERY_S)
        seen.late_ms = max(seen.late_ms, (time.monotonic() - asleep - _EVERY_S) * 1000)
    seen.rss_after_mb = resident_mb(pid)
    return seen


def _main(port: int, pid: int) -> None:
    over: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        over.append(number)

    signal.signal(signal.SIGTERM, end)
    sys.stdout.write("watching\n")
    sys.stdout.flush()
    seen = _watch(port, pid, lambda: bool(over))
    sys.stdout.write(json.dumps(asdict(seen)) + "\n")


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
