"""The Python client and services that are restarted: the caller notices nothing."""

import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carousel_client import Client
from tests.client.client_rig import F, Phoenix, close, run_eager
from tests.harness.client import MODEL, numbers
from tests.harness.process import PATIENCE_S

if TYPE_CHECKING:
    from tests.harness.served import Served

ENDS = (signal.SIGKILL, signal.SIGTERM)


class Watcher:
    """Ends the service when told, from a thread of its own, and starts it again."""

    def __init__(self, phoenix: Phoenix, number: signal.Signals) -> None:
        self._phoenix = phoenix
        self._number = number
        self._told = threading.Event()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._told.set()
        self._thread.join(PATIENCE_S)

    def tell(self) -> None:
        """Let it end the service now, whatever runs."""
        self._told.set()

    def wait_gone(self) -> None:
        """Return once the service is gone, and not before."""
        assert self._gone.wait(PATIENCE_S)

    def _run(self) -> None:
        self._told.wait(PATIENCE_S)
        self._phoenix.end(self._number)
        self._gone.set()
        self._phoenix.rise()


LONG = numbers(300, F, seed=12)


def _rows(watcher: Watcher) -> Iterator[Any]:
    """Time steps one by one; the service ends somewhere between the 100th and the 200th."""
    for index in range(300):
        if index == 100:
            watcher.tell()
        elif index == 200:
            watcher.wait_gone()
        yield LONG[index : index + 1]


@pytest.mark.parametrize("number", ENDS)
def test_a_restart_between_steps_is_not_noticed(
    repository: Path,
    served: "dict[str, Served]",
    tmp_path: Path,
    number: signal.Signals,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The outputs are those of one eager run, killed or drained; each retry is logged."""
    caplog.set_level(logging.INFO, "carousel_client")
    with Phoenix(repository, tmp_path) as phoenix, Client(phoenix.url) as client:
        session = client.session(MODEL)
        with Watcher(phoenix, number) as watcher:
            found = [session.step(x) for x in _rows(watcher)]
        assert session.info().position == 300
        close(np.concatenate(found), run_eager(served, LONG).output)
    assert any("/steps again in " in each.message for each in caplog.records)


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("ahead", [8, 1])
def test_a_restart_in_a_stream_is_not_noticed(
    repository: Path,
    served: "dict[str, Served]",
    tmp_path: Path,
    number: signal.Signals,
    ahead: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same with frames on their way."""
    caplog.set_level(logging.INFO, "carousel_client")
    with Phoenix(repository, tmp_path) as phoenix, Client(phoenix.url) as client:
        session = client.session(MODEL)
        with Watcher(phoenix, number) as watcher:
            found = list(session.stream(_rows(watcher), ahead=ahead))
        assert session.info().position == 300
        close(np.concatenate(found), run_eager(served, LONG).output)
    assert any("stream of" in each.message for each in caplog.records)
