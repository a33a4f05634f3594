"""The program of docs/exactly-once.md does what its page says, whoever is killed meanwhile."""

import json
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carousel_client import Client
from tests.client.client_rig import F, Phoenix, close, run_eager
from tests.harness.client import numbers
from tests.harness.process import PATHS, Process
from tests.harness.readme import block_with

if TYPE_CHECKING:
    from carousel.models.row import Array
    from tests.harness.served import Served

NUM_EVENTS = 3200
KEYS = [f"pump-{number}" for number in range(9)]
X = numbers(NUM_EVENTS, F, seed=41)
# Some keys are much busier than others, and most batches lack one or more.
OWNERS = np.random.default_rng(42).choice(len(KEYS), NUM_EVENTS, p=[0.4, 0.3, 0.2, *[1 / 60] * 6])


class Desk:
    """A service on a file, the events, and the program of the page."""

    def __init__(self, phoenix: Phoenix, folder: Path) -> None:
        self.phoenix = phoenix
        self.events, self.outputs = folder / "events.jsonl", folder / "outputs.jsonl"
        self._script = folder / "process.py"
        script = block_with("python", "step_many")
        self._script.write_text(script.replace("http://127.0.0.1:8000", phoenix.url))
        lines = [
            json.dumps({"key": KEYS[owner], "x": x.tolist()})
            for owner, x in zip(OWNERS, X, strict=True)
        ]
        self.events.write_text("\n".join([*lines, ""]))

    def start(self) -> Process:
        """The program, running."""
        words = [sys.executable, str(self._script), str(self.events), str(self.outputs)]
        return Process(words, PATHS)

    def finish(self) -> None:
        """Let it run to its end."""
        with self.start() as program:
            assert program.wait(100) == 0, program.tail()

    def kill_at(self, num_events: int) -> None:
        """Run it, and end it without notice while it is in the middle."""
        with self.start() as program:
            program.wait_for_printed(f"{num_events} events")
            program.kill()
        assert num_events <= self.num_outputs < NUM_EVENTS

    @property
    def num_outputs(self) -> int:
        """How many whole lines the file of outputs has."""
        return self.outputs.read_text().count("\n")

    def read(self) -> list[Any]:
        """The outputs, one for each event."""
        return [json.loads(line) for line in self.outputs.read_text().splitlines()]


@pytest.fixture
def desk(repository: Path, tmp_path: Path) -> Iterator[Desk]:
    """A service that can be killed, and the events."""
    with Phoenix(repository, tmp_path) as phoenix:
        yield Desk(phoenix, tmp_path)


def _check_states(desk: Desk, served: "Mapping[str, Served]") -> "Mapping[str, Array]":
    """Each session stands behind the last event of its key, at the state of PyTorch; the outputs of
    PyTorch for each key.
    """
    outputs = {}
    with Client(desk.phoenix.url) as client:
        for number, key in enumerate(KEYS):
            x = X[number == OWNERS]
            run = run_eager(served, x)
            state = client.session_state(key)
            assert state.position == len(x)
            close(state.arrays()["h"], run.h)
            close(state.arrays()["c"], run.c)
            outputs[key] = run.output
    return outputs


def test_kills_of_both_lose_nothing_and_double_nothing(
    desk: Desk, served: "Mapping[str, Served]"
) -> None:
    """The program is killed twice, the service once while it runs and once while it does not."""
    desk.kill_at(64 * 4)
    desk.phoenix.end(signal.SIGKILL)
    desk.phoenix.rise()
    with desk.start() as program:
        program.wait_for_printed(f"{64 * 12} events")
        desk.phoenix.end(signal.SIGKILL)
        desk.phoenix.rise()
        program.wait_for_printed(f"{64 * 30} events", 100)
        program.kill()
    assert desk.num_outputs < NUM_EVENTS
    # As a kill in the middle of a write leaves it.
    with desk.outputs.open("a") as file:
        file.write("[0.5,")
    desk.finish()
    expected = _check_states(desk, served)
    found: dict[str, list[Any]] = defaultdict(list)
    outputs = desk.read()
    assert len(outputs) == NUM_EVENTS
    for owner, output in zip(OWNERS, outputs, strict=True):
        found[KEYS[owner]].append(output)
    for key, each in expected.items():
        close(np.array(found[key]), each)


def test_without_its_file_it_feeds_nothing_twice(
    desk: Desk, served: "Mapping[str, Served]"
) -> None:
    """It skips to where the sessions are: 409s name that, and the rest goes on."""
    desk.kill_at(64 * 20)
    desk.outputs.unlink()
    desk.finish()
    expected = _check_states(desk, served)
    outputs = desk.read()
    assert len(outputs) == NUM_EVENTS
    assert outputs[0] is None
    seen = dict.fromkeys(KEYS, 0)
    for owner, output in zip(OWNERS, outputs, strict=True):
        key = KEYS[owner]
        if output is not None:
            close(np.array(output), expected[key][seen[key]])
        seen[key] += 1
    assert all(each is not None for each in outputs[64 * 30 :])
