"""A session file that lost whole pages, its end, or the end of its log: what is left answers
right, what is not is refused, and whatever bits flip, nobody gets a wrong answer.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.service.errors import (
    CarouselError,
    SessionNotFound,
    SettingError,
    StateCorrupt,
    StoreUnavailable,
)
from tests.harness.clocks import Clock
from tests.harness.durable import (
    FED,
    IDS,
    NOW,
    PAGE,
    DurableRig,
    find_row,
    flip,
    listed,
    make_sound,
    overwrite,
    root_page,
    step_all,
)
from tests.harness.rig import play, sums

VICTIM = "s013"
PLACE = IDS.index(VICTIM) + 1
RIGHT: dict[str, float | CarouselError] = {each: sum(fed) + 1 for each, fed in FED.items()}
# The sums that a session may stand at, should its last steps be lost with the end of the log.
EARLIER = {each: [sum(fed[:count]) for count in range(len(fed) + 1)] for each, fed in FED.items()}
LOG_HEAD, FRAME = 32, 24 + PAGE


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of sessions, and in `killed` a copy of it with its log."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "killed").mkdir()
    play(lambda: make_sound(folder / "s", folder / "killed"))
    return folder / "s"


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    """A copy of the closed file."""
    return Path(shutil.copy(sound, tmp_path / "s"))


@pytest.fixture
def killed(sound: Path, tmp_path: Path) -> Path:
    """A copy of the file with its log."""
    shutil.copytree(sound.parent / "killed", tmp_path / "killed")
    return tmp_path / "killed" / "s"


async def _use(path: Path) -> dict[str, float | CarouselError]:
    """Step all sessions; a new one is served, or refused in a way that clients understand."""
    async with DurableRig(path, Clock(NOW + 100)) as rig:
        found = await step_all(rig)
        with suppress(StateCorrupt, StoreUnavailable):
            await rig.open("new")
            assert sums(await rig.step("new", 3)) == [3]
        with suppress(StateCorrupt, StoreUnavailable):
            await listed(rig)
        with suppress(StateCorrupt, StoreUnavailable):
            await rig.sessions.sweep()
        await rig.sqlite.ping()
    return found


def _wrong(found: dict[str, float | CarouselError], *allowed: type[CarouselError]) -> object:
    """Answers that are neither right nor one of the refusals."""
    return {
        each: answer
        for each, answer in found.items()
        if answer != RIGHT[each] and not isinstance(answer, allowed)
    }


def test_a_lost_page_costs_those_who_are_on_it(path: Path) -> None:
    """They are refused with a hint; all others step on in one batch, and the list is without
    them. New sessions are opened, expired ones are swept.
    """
    page = find_row(path, PLACE).page
    on_it = {each for place, each in enumerate(IDS, 1) if find_row(path, place).page == page}
    assert 1 < len(on_it) < len(IDS) / 2
    overwrite(path, page, bytes(PAGE))
    clock = Clock(NOW + 100)

    async def scenario() -> None:
        async with DurableRig(path, clock) as rig:
            found = await step_all(rig)
            refused = {each for each, answer in found.items() if answer != RIGHT[each]}
            assert refused == on_it
            for each in on_it:
                error = found[each]
                assert isinstance(error, StateCorrupt)
                assert error.hint is not None
            assert set(await listed(rig)) == set(IDS) - on_it
            await rig.open("new")
            assert sums(await rig.step("new", 3)) == [3]
            clock.now += 3600 + 61
            await rig.open("late")
            await rig.sessions.sweep()
            assert await listed(rig) == ["late"]

    play(scenario)


@pytest.mark.parametrize("name", ["session_by_model", "session_by_due", "tombstone_by_time"])
def test_an_index_that_is_lost_stops_no_step(path: Path, name: str) -> None:
    """Steps, reads and the list need the index of names alone."""
    overwrite(path, root_page(path, name), bytes(PAGE))

    async def scenario() -> None:
        async with DurableRig(path, Clock(NOW + 100)) as rig:
            assert await step_all(rig) == RIGHT
            assert await listed(rig) == IDS
            assert await rig.total(VICTIM) == RIGHT[VICTIM]

    play(scenario)


@pytest.mark.parametrize("name", ["session_by_name", "session", "tombstone"])
def test_without_a_table_sessions_are_refused_or_right(path: Path, name: str) -> None:
    """What SQLite can no longer find is refused as damaged, and never as one that was not there."""
    overwrite(path, root_page(path, name), bytes(PAGE))
    found: dict[str, float | CarouselError] = {}

    async def scenario() -> None:
        found.update(await _use(path))

    play(scenario)
    assert not _wrong(found, StateCorrupt)


# Pages of the file: the tables' and indexes' first ones, then those of sessions.
NUM_PAGES, NUM_FIRST = 12, 7
CUTS = [*range(1, NUM_PAGES), 1.01, NUM_FIRST + 0.5, NUM_PAGES - 0.01]


@pytest.mark.parametrize("pages", CUTS)
def test_a_file_that_was_cut_short_is_served(path: Path, pages: float) -> None:
    """Sessions that are there whole answer right, the others are refused as damaged."""
    assert path.stat().st_size == NUM_PAGES * PAGE
    length = int(pages * PAGE)
    rows = [find_row(path, place).page + PAGE for place in range(1, len(IDS) + 1)]
    there = {each for each, end in zip(IDS, rows, strict=True) if end <= length}
    found: dict[str, float | CarouselError] = {}
    with path.open("r+b") as file:
        file.truncate(length)

    async def scenario() -> None:
        found.update(await _use(path))

    play(scenario)
    assert not _wrong(found, StateCorrupt)
    assert (found.items() & RIGHT.items()) >= {(each, RIGHT[each]) for each in there}


def test_a_log_is_taken_up(killed: Path) -> None:
    """What a killed process leaves is whole."""

    async def scenario() -> None:
        assert await _use(killed) == RIGHT

    play(scenario)


@pytest.mark.parametrize("cut", [0, 1, LOG_HEAD, LOG_HEAD + FRAME, 1 / 3, 1 / 2, 0.9, -1])
def test_a_log_that_was_cut_short_loses_its_end_alone(killed: Path, cut: float) -> None:
    """Each session stands where it stood at some time; one that was opened later is unknown."""
    log = Path(f"{killed}-wal")
    size = log.stat().st_size
    length = int(cut * size) if 0 < cut < 1 else int(cut) % size
    with log.open("r+b") as file:
        file.truncate(length)
    play(lambda: _check_earlier(killed))


@pytest.mark.parametrize("part", [0, 0.25, 0.5, 0.75, 0.999])
def test_a_damaged_log_loses_what_follows_alone(killed: Path, part: float) -> None:
    """As one that was cut there."""
    log = Path(f"{killed}-wal")
    flip(log, int(part * log.stat().st_size))
    play(lambda: _check_earlier(killed))


async def _check_earlier(path: Path) -> None:
    async with DurableRig(path, Clock(NOW + 100)) as rig:
        for each in IDS:
            try:
                position = (await rig.info(each)).position
            except SessionNotFound:
                continue
            assert await rig.total(each) == EARLIER[each][position]
            reply = await rig.step(each, 1, position=position)
            assert sums(reply) == [EARLIER[each][position] + 1]
        await rig.open("new")
        assert sums(await rig.step("new", 3)) == [3]


_FLIPS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8
)


@given(flips=_FLIPS, in_log=st.booleans())
@settings(max_examples=40, deadline=None)
def test_whatever_flips_nobody_gets_a_wrong_answer(
    sound: Path, flips: list[tuple[float, int]], in_log: bool
) -> None:
    """Anywhere in the file, or in the log beside it: the file is refused at the start, or each
    session answers right or is refused, and the process serves on.
    """
    with TemporaryDirectory() as folder:
        files = sorted((sound.parent / "killed").iterdir()) if in_log else [sound]
        path = Path(shutil.copy(files[0], folder))
        damaged = Path(shutil.copy(files[-1], folder))
        size = damaged.stat().st_size
        for part, mask in flips:
            flip(damaged, int(part * size), mask)
        found: dict[str, float | CarouselError] = {}

        async def scenario() -> None:
            found.update(await _use(path))

        with suppress(SettingError):
            play(scenario)
        for each, answer in found.items():
            if isinstance(answer, CarouselError):
                assert isinstance(answer, StateCorrupt | StoreUnavailable | SessionNotFound)
            elif in_log:
                assert answer - 1 in EARLIER[each]
            else:
                assert answer == RIGHT[each]
