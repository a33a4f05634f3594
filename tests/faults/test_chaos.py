"""A step answered with 200 is never lost and a retry that names its position never counts twice.

The short form of `python -m tests.harness.chaos`, whose own eyes are tested at the end.
"""

import asyncio
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.harness.chaos.command import attack, prepare
from tests.harness.chaos.progress import Progress, Tally, load_progress
from tests.harness.chaos.run import Goal
from tests.harness.chaos.truth import Told, Truth, Violation
from tests.harness.redis_server import require_redis
from tests.harness.witness import export_witness

_STOP_AFTER_S = 2.0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The witness, exported once."""
    folder = tmp_path_factory.mktemp("witness")
    export_witness(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, repository: Path) -> Path:
    """A place for a run, with the witness in it."""
    shutil.copytree(repository, tmp_path / "repository")
    return tmp_path


def run(goal: Goal, store: str, folder: Path) -> Tally:
    """What a run of this goal did; raises Violation."""
    progress = prepare(store, folder)
    assert uvloop.run(attack(goal, progress, folder, lambda line: None))
    return progress.tally


async def stopped_soon(goal: Goal, folder: Path) -> bool:
    """A run that is stopped by a signal on its way."""
    loop = asyncio.get_running_loop()
    loop.call_later(_STOP_AFTER_S, signal.raise_signal, signal.SIGUSR1)
    progress = prepare("sqlite", folder)
    return await attack(goal, progress, folder, lambda line: None, stops_on=[signal.SIGUSR1])


def edit(folder: Path, change: Any) -> None:
    """Let the clients believe something else of their first session."""
    path = folder / "progress.json"
    document = json.loads(path.read_text())
    document["sessions"][0][0] |= change(document["sessions"][0][0])
    path.write_text(json.dumps(document))


def test_kills_lose_and_double_nothing_on_sqlite(folder: Path) -> None:
    """After kill -9 under load every acknowledged step is there, and every retry counts once."""
    tally = run(Goal(kills=14, steps=20_000), "sqlite", folder)
    assert tally.kills == 14
    assert tally.violations == 0
    assert 0 < tally.unanswered <= tally.retries
    # Some steps were in the store and their answers were not sent: their retries were replays.
    assert tally.replays > 0


def test_kills_lose_and_double_nothing_on_redis(folder: Path) -> None:
    """The same where the sessions are in Redis, which lives on."""
    require_redis()
    tally = run(Goal(kills=6, steps=10_000), "redis", folder)
    assert tally.kills == 6
    assert tally.violations == 0
    assert 0 < tally.unanswered <= tally.retries


def test_clients_that_give_up_double_nothing(folder: Path) -> None:
    """A step that is sent again while the first attempt still runs, or after, counts once."""
    tally = run(Goal(timeouts=400), "sqlite", folder)
    assert tally.timeouts >= 400
    assert tally.violations == 0
    # Some attempts ran after all: their retries were replays, and their answers came late.
    assert tally.replays > 0
    assert tally.late > 0


def test_a_store_that_forgets_is_seen(folder: Path) -> None:
    """The harness fails where sessions are lost."""
    with pytest.raises(Violation, match="session_not_found"):
        run(Goal(kills=1), "memory", folder)


def test_a_run_is_stopped_and_continued(folder: Path) -> None:
    """The next run checks the store first: it goes on where all is right, and fails where not."""
    assert not uvloop.run(stopped_soon(Goal(kills=1000), folder))
    kills = prepare("sqlite", folder).tally.kills
    assert run(Goal(kills=kills + 1), "sqlite", folder).kills == kills + 1
    edit(folder, lambda session: {"position": session["position"] + 1})
    with pytest.raises(Violation, match="the store holds"):
        run(Goal(kills=1000), "sqlite", folder)


def test_nothing_but_the_one_right_answer_passes() -> None:
    """A lost, doubled or reordered time step, a wrong position and a second run are seen."""
    truth = Truth("s")
    truth.advance(truth.plan([(2, 1)]))
    step = truth.plan([(1, 0), (0, 2)])
    right = [(3, 1), (3, 3)]
    for outputs in (
        [(1, 0), (1, 2)],
        [(4, 1), (4, 3)],
        [(2, 3), (3, 3)],
        right[:1],
        [*right, (3, 3)],
    ):
        with pytest.raises(Violation, match="outputs"):
            truth.judge(step, Told(outputs, 3, replayed=False))
    with pytest.raises(Violation, match="position"):
        truth.judge(step, Told(right, 4, replayed=False))
    with pytest.raises(Violation, match="state"):
        truth.judge(step, Told(right, 3, replayed=False, state=(3, 1)))
    truth.judge(step, Told(right, 3, replayed=False))
    truth.judge(step, Told(right, 3, replayed=True))
    with pytest.raises(Violation, match="run twice"):
        truth.judge(step, Told(right, 3, replayed=False))


def test_progress_that_is_written_is_read_again(tmp_path: Path) -> None:
    """Counters and what the clients know survive the harness."""
    truth = Truth("s")
    truth.advance(truth.plan([(2, 1), (0, 1)]))
    Progress("sqlite", 7, runs=2, tally=Tally(kills=3), sessions=[[truth]]).save(tmp_path)
    found = load_progress(tmp_path)
    assert found is not None
    assert (found.runs, found.seed, found.tally) == (2, 7, Tally(kills=3))
    known = found.sessions[0][0]
    assert (known.id, known.place) == ("s", truth.place)
    assert known.recent[0].rows == [(2, 1), (0, 1)]
    assert known.recent[0].sums == [(2, 1), (2, 2)]
