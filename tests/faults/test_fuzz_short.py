"""Nothing that a client sends is answered with anything but an answer, or changes what is held.

The short form of `python -m tests.harness.fuzz`, by the mutator that needs no library: the same
targets, attacks and promises, with a fixed seed, fewer inputs and a patience for `/livez` that
suits a machine with other things to do.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.fuzz.bombs import BOMBS, throw
from tests.harness.fuzz.mutator import Mutator
from tests.harness.fuzz.outcome import Outcome
from tests.harness.fuzz.plain import attempt_all
from tests.harness.fuzz.progress import Progress, load_progress
from tests.harness.fuzz.table import table, write_page
from tests.harness.fuzz.target import Target
from tests.harness.fuzz.targets import all_targets
from tests.harness.fuzz.victim import Victim
from tests.harness.fuzz.watcher import Watched
from tests.harness.fuzz.wire import Wire
from tests.harness.witness import export_witness

_SEED = 7
_SLOWEST_MS = 1000.0
# A tenth of the largest body that the service takes, in place of all of it.
_BODY_BYTES = 1_600_000
_SHORT = tuple(each for each in BOMBS if not each.deaf_s)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The witness, exported once."""
    folder = tmp_path_factory.mktemp("witness")
    export_witness(folder)
    return folder


@pytest.mark.parametrize("name", all_targets())
def test_a_decoder_gives_a_value_or_its_own_error(name: str) -> None:
    """Whatever is flipped, cut, repeated or put in another's place."""
    assert attempt_all(all_targets()[name], 3000, _SEED) == []


def _held(repository: Path, attack: Callable[[Victim, Outcome], None]) -> Outcome:
    """What came of an attack that the service stood as it promises."""
    outcome = Outcome()
    with Victim(repository, size=_BODY_BYTES) as victim, victim.watched(outcome):
        attack(victim, outcome)
    assert outcome.broken() == []
    assert outcome.seen is not None
    assert outcome.seen.slowest_ms < _SLOWEST_MS
    return outcome


def test_cuts_and_mutants_and_slow_clients_leave_the_service_as_it_was(repository: Path) -> None:
    """Requests and frames cut and mutated, while others send a byte at a time or never read."""

    def attack(victim: Victim, outcome: Outcome) -> None:
        asyncio.run(Wire(victim.port, outcome, _SEED).attack(1200, every=7))

    outcome = _held(repository, attack)
    assert outcome.inputs >= 1200
    assert {"101", "200", "400", "404", "405", "422"} <= outcome.statuses.keys()


def test_bombs_leave_the_service_as_it_was(repository: Path) -> None:
    """Lists, members, ids, trailers, chunks and frames without end, one after the other."""

    async def throw_all(victim: Victim, outcome: Outcome) -> None:
        for each in _SHORT:
            await throw(victim.port, each, victim.size, outcome)

    outcome = _held(repository, lambda victim, outcome: asyncio.run(throw_all(victim, outcome)))
    assert outcome.inputs == sum(each.at_once for each in _SHORT)


def test_the_harness_has_eyes() -> None:
    """A decoder's own error passes, another is found, with the smallest input for each place."""

    def decode(data: bytes) -> None:
        if data[:1] != b"a":
            raise ValueError
        if len(data) > 1:
            raise KeyError(data)

    found = attempt_all(Target("toy", decode, (b"abc",), (ValueError,)), 500, _SEED)
    assert [(each.target, each.data) for each in found] == [("toy", b"ab")]
    assert Mutator((b"abc",), 1).draw() == Mutator((b"abc",), 1).draw()


def test_what_is_promised_is_asked_for() -> None:
    """5xx but 503 and 504, memory that grows or stays, a probe without an answer."""
    outcome = Outcome(held_mb=10)
    for status in (200, 503, 504, 400):
        outcome.add(status)
    outcome.seen = Watched(rss_before_mb=100, rss_peak_mb=209, rss_after_mb=199)
    assert outcome.broken() == []
    outcome.add(500)
    outcome.seen = Watched(unanswered=1, rss_before_mb=100, rss_peak_mb=211, rss_after_mb=201)
    assert len(outcome.broken()) == 4


def test_a_run_is_kept_and_shown(tmp_path: Path) -> None:
    """What was done is read again, and the page has it between its marks."""
    outcome = Outcome(inputs=3, seen=Watched(slowest_ms=7), findings=["what"])
    outcome.add(400, 3)
    progress = Progress(1, 10, {"wire": outcome, "bombs members": Outcome(inputs=1)})
    progress.save(tmp_path)
    assert load_progress(tmp_path) == progress
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- fuzz: from `make fuzz` -->\nold\n<!-- end of fuzz -->\nb\n")
    write_page(page, progress)
    assert "| members | 1 |" in page.read_text()
    assert "old" not in page.read_text()
    assert page.read_text().endswith("b\n")
    assert "- what" in table(progress)
