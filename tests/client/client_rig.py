"""What the tests of the Python client share: inputs, what the eager module says of them, and a
service that is restarted.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tests.harness.client import MODEL, TOLERANCE, numbers
from tests.harness.durable import copy_models
from tests.harness.live import Live

if TYPE_CHECKING:
    from carousel.models.row import Array
    from tests.harness.served import Served

F = 10
X = numbers(24, F, seed=11)


@dataclass(frozen=True, slots=True)
class Run:
    """The eager LSTM over a whole sequence: output (T, 20), h and c (2, 20)."""

    output: "Array"
    h: "Array"
    c: "Array"


def run_eager(served: "Mapping[str, Served]", x: "Array" = X) -> Run:
    """One run over x (T, F)."""
    from tests.harness.served import run_lstm

    return Run(*run_lstm(served[MODEL].module, x))


def close(found: Any, expected: Any) -> None:
    """Equal but for rounding."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


class Phoenix:
    """A service on a file of sessions that can be ended, and started again at the same address."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self._repository = copy_models(repository, folder / "models", MODEL)
        self._store = f"sqlite:{folder / 'sessions.sqlite'}"
        self._live: Live | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._start("0")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def end(self, number: signal.Signals) -> None:
        """Send the signal and wait for the process to be gone."""
        assert self._live is not None
        self._live.signal(number)
        self._live.wait()

    def rise(self) -> None:
        """Start it again."""
        assert self._live is not None
        self._live.__exit__(None, None, None)
        self._live = None
        self._start(self.url.rpartition(":")[2])

    def _start(self, port: str) -> None:
        # Of two ports the last one counts.
        live = Live(self._repository, "--store", self._store, "--port", port)
        try:
            self._live = live.__enter__()
        except BaseException:
            live.__exit__(None, None, None)
            raise
        self.url = live.url
