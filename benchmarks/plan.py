"""How the benchmark of durable sessions is run, and how it starts a service on a store."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Server
from benchmarks.targets import serve_arguments


@dataclass(frozen=True, slots=True)
class Plan:
    """`scratch`: an empty folder, on the disk whose durability is measured. `num_sessions`: those
    of the figures with many.
    """

    repository: Path
    scratch: Path
    logs: Path
    num_sessions: int
    num_runs: int
    window_s: float
    say: Callable[[str], None]

    @contextlib.contextmanager
    def running(
        self, name: str, store: str, *more: str, is_pinned: bool = True
    ) -> Iterator[Server]:
        """A service on a store, for the length of the body; `more`: further arguments."""
        arguments = (*serve_arguments(self.repository, store), *more)
        log = self.logs / f"sessions-{name}.log"
        server = Server(name, arguments, "/readyz", log, is_pinned=is_pinned)
        try:
            server.start()
            yield server
        finally:
            server.stop()

    def sqlite(self, name: str) -> str:
        """The address of a file of that name, which nobody has used yet."""
        return f"sqlite:{self.scratch.resolve() / name}.sqlite"
