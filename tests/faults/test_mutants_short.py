"""A change that no test notices is told apart from one that a test does.

The short form of `python -m tests.harness.mutants`, on a module of two functions, of which one is
tested.
"""

from pathlib import Path

import pytest

from tests.harness.mutants.mutant import Change, Mutant
from tests.harness.mutants.progress import Progress, Tried, load_progress
from tests.harness.mutants.report import Result, report, share
from tests.harness.mutants.subjects import SUBJECTS
from tests.harness.mutants.tree import BrokenTests, Outcome, Tree

_ROOT = Path(__file__).parents[2]
_MODULE = "service/tiny.py"
_TESTS = ("tests/test_tiny.py",)
_SOURCE = """def is_full(count: int, most: int) -> bool:
    return count >= most


def is_late(now: float, deadline: float) -> bool:
    return now > deadline


class Gate:
    def __init__(self) -> None:
        self.told = []

    def __repr__(self) -> str:
        return f"{1 + len(self.told)}"

    def tell(self) -> None:
        self.told.append(1)
"""
_OFF_BY_ONE = _SOURCE.replace("count >= most", "count > most")
_UNTESTED = _SOURCE.replace("now > deadline", "now >= deadline")
_ENDLESS = _SOURCE.replace("    return count >= most", "    while True:\n        pass")
_TEST = """from service.tiny import is_full


def test_full() -> None:
    assert is_full(2, 2)
    assert not is_full(1, 2)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy of a repository with the module and its one test."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    for folder in ("service", "tests"):
        (source / folder).mkdir(parents=True)
    copy.mkdir()
    (source / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n")
    (source / _MODULE).write_text(_SOURCE)
    (source / _TESTS[0]).write_text(_TEST)
    return Tree(source, copy)


def test_a_fault_is_caught_where_it_is_tested_and_alive_where_it_is_not(tree: Tree) -> None:
    """The off-by-one in the tested function fails its test, the other one none."""
    usual_s = tree.measure(_TESTS)

    caught = tree.outcome(_MODULE, _OFF_BY_ONE, _TESTS, usual_s)
    alive = tree.outcome(_MODULE, _UNTESTED, _TESTS, usual_s)

    assert (caught, alive) == (Outcome.CAUGHT, Outcome.ALIVE)


def test_the_copy_is_as_it_was_after_each_fault(tree: Tree) -> None:
    """What was planted is taken out again, and compiled code of it does not stay."""
    usual_s = tree.measure(_TESTS)
    tree.outcome(_MODULE, _OFF_BY_ONE, _TESTS, usual_s)

    assert (tree.root / _MODULE).read_text() == _SOURCE
    tree.measure(_TESTS)


def test_a_loop_without_an_end_is_caught_by_its_time(tree: Tree) -> None:
    """Tests that take many times what they took unharmed are ended, and count as failed."""
    tree.least_s = 1.0

    assert tree.outcome(_MODULE, _ENDLESS, _TESTS, usual_s=0.5) is Outcome.SLOW


def test_tests_that_fail_by_themselves_say_nothing(tree: Tree) -> None:
    """A module whose tests fail unharmed is refused: every change would seem to be caught."""
    (tree.root / _MODULE).write_text(_OFF_BY_ONE)

    with pytest.raises(BrokenTests, match="test_tiny"):
        tree.measure(_TESTS)


def test_each_change_is_planted_once_and_none_where_nothing_is_decided() -> None:
    """Bounds, and statements that are left out; not the number in a __repr__."""
    pytest.importorskip("cosmic_ray", reason="`make mutants` installs it")
    from tests.harness.mutants.planter import plant, sample

    mutants = plant(_SOURCE)

    codes = [each.code for each in mutants]
    assert _OFF_BY_ONE in codes
    assert _UNTESTED in codes
    assert _SOURCE.replace("self.told.append(1)", "pass") in codes
    assert len(set(codes)) == len(codes)
    assert {each.change.function for each in mutants} == {
        *("is_full", "is_late", "Gate.__init__", "Gate.tell")
    }
    drawn = sample(mutants, 3, seed=1)
    assert len(drawn) == 3
    assert drawn == sample(mutants, 3, seed=1)
    assert drawn == [each for each in mutants if each in drawn]


def test_the_report_shows_what_is_alive_with_its_line_and_change() -> None:
    """One of four is alive: 75 %, and its diff."""
    change = Change("is_late", "return now > deadline", "return now >= deadline")
    result = Result("tiny", _MODULE, _SOURCE, num_caught=3)
    result.add(Mutant("key", 6, change, _UNTESTED), Outcome.ALIVE)

    text = report([result])

    assert share([result]) == 0.75
    assert "alive: service/tiny.py:6 in is_late" in text
    assert "-    return now > deadline\n+    return now >= deadline" in text


def test_a_run_goes_on_until_the_module_or_its_tests_are_others(tmp_path: Path) -> None:
    """What was found out is kept by the digest of both, and forgotten with it."""
    progress = Progress({"tiny": Tried("one", 2.0, {"key": Outcome.ALIVE, "other": Outcome.SLOW})})
    progress.save(tmp_path)

    loaded = load_progress(tmp_path)

    assert loaded == progress
    assert loaded.of("tiny", "one").outcomes == {"key": Outcome.ALIVE, "other": Outcome.SLOW}
    assert loaded.of("tiny", "two").outcomes == {}


def test_every_module_and_its_tests_are_where_the_table_says() -> None:
    """A file that was moved is missed here, and not after hours."""
    paths = [path for each in SUBJECTS.values() for path in (each.path, *each.tests)]

    assert [path for path in paths if not (_ROOT / path).is_file()] == []
