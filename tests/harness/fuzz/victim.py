"""The service under attack: the real program with the witness, and the watcher beside it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.fuzz.outcome import Outcome
from tests.harness.fuzz.watcher import Watcher
from tests.harness.live import Live
from tests.harness.witness import WITNESS_MODEL

KEY = "fuzz-fuzz-fuzz-fuzz"
SESSION = "fuzz"
_MAX_HELD_MB = 256


class Victim:
    """One service. Without a key, as who attacks it then reaches everything; `key` for one with."""

    def __init__(self, repository: Path, *, key: str = "", size: int = 16 * 10**6) -> None:
        limits = ("--max-body-bytes", str(size), "--max-held-bytes", str(_MAX_HELD_MB * 10**6))
        self.live = Live(
            repository, "--no-print-curl", *limits, env={"CAROUSEL_API_KEY": key} if key else None
        )
        if key:
            self.live.client.headers["Authorization"] = f"Bearer {key}"
        self.size = size

    def __enter__(self) -> "Victim":
        self.live.__enter__()
        self.warm_up()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.__exit__(None, None, None)

    def __repr__(self) -> str:
        return f"<Victim {self.live!r}>"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.live.url.rpartition(":")[2])

    def warm_up(self) -> None:
        """Let it have done what it does, so that what it takes from then on is the attack's."""
        document = {"model": WITNESS_MODEL, "session_id": SESSION}
        self.live.client.post("/v1/sessions", json=document)
        rows = [[0.5, 0.25]] * 10_000
        for _ in range(5):
            self.live.client.post(f"/v1/models/{WITNESS_MODEL}/infer", json={"sequences": [rows]})

    @contextmanager
    def watched(self, outcome: Outcome) -> Iterator[None]:
        """What happens meanwhile is an attack: time, `/livez`, memory and log are `outcome`'s."""
        logged, began = len(self.live.logs), time.monotonic()
        outcome.held_mb = _MAX_HELD_MB
        with Watcher(self.port, self.live.pid) as watcher:
            yield
        outcome.seen = watcher.seen
        outcome.seconds += time.monotonic() - began
        wrong = [each for each in self.live.logs[logged:] if " level=error " in each
                 or "Traceback" in each]  # fmt: skip
        outcome.findings += [f"log: {each[:600]}" for each in wrong[:5]]
        if self.live.code is not None:
            outcome.findings.append(f"the service ended with {self.live.code}")
