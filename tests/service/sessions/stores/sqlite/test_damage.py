"""A session file that was damaged while nobody had it open: who was damaged is refused, all others
go on, and nobody gets a wrong answer.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from carousel.service.errors import StateCorrupt
from carousel.service.sessions.stores.base import Damaged, Tombstone
from tests.harness.clocks import Clock
from tests.harness.durable import (
    FED,
    IDS,
    NOW,
    DurableRig,
    Row,
    find_row,
    flip,
    listed,
    make_sound,
    step_all,
)
from tests.harness.rig import play, sums

VICTIM = "s013"
PLACE = IDS.index(VICTIM) + 1


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of sessions that nobody has damaged."""
    path = tmp_path_factory.mktemp("sound") / "s"
    play(lambda: make_sound(path))
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copy(sound, tmp_path / "s"))


Damage = Callable[[Path, Row], None]


def _content(column: str, offset: int, mask: int = 0x01) -> Damage:
    return lambda path, row: flip(path, row.columns[column] + offset, mask)


def _kind(column: str, mask: int) -> Damage:
    return lambda path, row: flip(path, row.types[column], mask)


def _before(offset: int, mask: int) -> Damage:
    return lambda path, row: flip(path, row.cell + offset, mask)


# What SQLite can still read, so that the session can be found by its id, and deleted.
READABLE: dict[str, Damage] = {
    "checksum": _content("head", 0),
    "position": _content("head", 16),
    "origin": _content("head", 70),
    "replies": _content("state", -1, 0x80),
    "state": _content("state", 2),
    "revision": _content("revision", 15),
    "head-one-longer": _kind("head", 0x02),
    "head-becomes-text": _kind("head", 0x01),
    "state-one-longer": _kind("state", 0x02),
    "state-becomes-text": _kind("state", 0x01),
    "state-becomes-null": _kind("state", 0x1C),
    "revision-becomes-text": _kind("revision", 0x01),
    "revision-becomes-a-number": _kind("revision", 0x2A),
    "id-in-the-table": _content("name", 3, 0x02),
    "id-becomes-a-blob": _kind("name", 0x01),
    "model-in-the-table": _content("model", 0),
    "due": _content("due", 1, 0x10),
    "due-becomes-a-whole-number": _kind("due", 0x01),
    "due-becomes-null": _kind("due", 0x07),
}


@pytest.mark.parametrize("damage", READABLE.values(), ids=READABLE)
def test_a_damaged_session_costs_nobody_else_anything(path: Path, damage: Damage) -> None:
    """It is refused with a hint, or answers right where what was hit does not matter. In one batch
    with it all others step on, they are listed, and they are swept when their time has come.
    """
    damage(path, find_row(path, PLACE))
    clock = Clock(NOW + 100)

    async def scenario() -> None:
        async with DurableRig(path, clock) as rig:
            answers = await step_all(rig)
            refusal = answers.pop(VICTIM)
            assert answers == {each: sum(FED[each]) + 1 for each in IDS if each != VICTIM}
            if refusal != sum(FED[VICTIM]) + 1:
                assert isinstance(refusal, StateCorrupt)
                assert refusal.hint is not None
            assert set(await listed(rig)) | {VICTIM} == set(IDS)
            assert set(await listed(rig, model="witness")) | {VICTIM} == set(IDS)
            clock.now += 3600 + 61
            await rig.open("late")
            await rig.sessions.sweep()
            assert await listed(rig) == ["late"]
            left = {each: await rig.sqlite.load(("", each)) for each in IDS}
            assert isinstance(left.pop(VICTIM), Tombstone | Damaged)
            assert {type(each) for each in left.values()} == {Tombstone}

    play(scenario)


@pytest.mark.parametrize("damage", READABLE.values(), ids=READABLE)
def test_a_damaged_session_is_deleted_and_its_id_is_free(path: Path, damage: Damage) -> None:
    """Nothing but DELETE may be done with it; then its id is opened again, and found again."""
    damage(path, find_row(path, PLACE))

    async def scenario() -> None:
        async with DurableRig(path, Clock(NOW + 100)) as rig:
            await rig.sessions.delete("", VICTIM)
            assert VICTIM not in await listed(rig)
            await rig.open(VICTIM)
            assert sums(await rig.step(VICTIM, 7, position=0)) == [7]
        async with DurableRig(path, Clock(NOW + 100)) as rig:
            assert sums(await rig.step(VICTIM, 1, position=1)) == [8]
            assert await listed(rig) == IDS

    play(scenario)
