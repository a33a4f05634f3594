"""The model repository on disk: versions count up, nothing is overwritten, names are looked up."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from carousel.models.artifact import MANIFEST_FILE, ArtifactError
from carousel.models.repository import Repository, RepositoryError, check_model_name
from tests.harness.artifacts import FILES, MANIFEST


def test_versions_count_up(tmp_path: Path) -> None:
    """Each export is the next version, the one before it stays, and the highest is opened."""
    repository = Repository(tmp_path / "new" / "root")
    assert [repository.add(MANIFEST, FILES).version for _ in range(3)] == [1, 2, 3]
    assert repository.versions("tiny") == [1, 2, 3]
    assert (repository.open("tiny").version, repository.open("tiny", 2).version) == (3, 2)


def test_a_gap_is_not_filled(tmp_path: Path) -> None:
    """A version that was removed is not given to other weights while a higher one is there."""
    repository = Repository(tmp_path)
    for _ in range(2):
        repository.add(MANIFEST, FILES)
    (tmp_path / "tiny" / "1").rename(tmp_path / "moved away")
    assert repository.add(MANIFEST, FILES).version == 3


@pytest.mark.parametrize("removed", ["3", "2 3", "1 2 3", "."])
def test_a_number_is_never_given_twice(tmp_path: Path, removed: str) -> None:
    """The highest version, several, all, or the model's folder: the next number is a new one."""
    repository = Repository(tmp_path)
    for _ in range(3):
        repository.add(MANIFEST, FILES)
    for each in removed.split():
        shutil.rmtree(tmp_path / "tiny" / each)
    assert repository.add(MANIFEST, FILES).version == 4
    assert Repository(tmp_path).add(MANIFEST, FILES).version == 5
    assert repository.names() == ["tiny"]
    assert repository.add(replace(MANIFEST, name="other"), FILES).version == 1


def test_a_repository_of_before_goes_on(tmp_path: Path) -> None:
    """Without the file of given numbers, and beside versions put there by hand, what is on disk
    counts.
    """
    repository = Repository(tmp_path)
    repository.add(MANIFEST, FILES)
    shutil.rmtree(tmp_path / ".versions")
    (tmp_path / "tiny" / "1").rename(tmp_path / "tiny" / "6")
    assert repository.add(MANIFEST, FILES).version == 7


@pytest.mark.parametrize("rest", [b"1", b"\x00\x00\x00", b"\xff\n", b"99999999999999\n"])
def test_a_cut_off_line_hides_no_number(tmp_path: Path, rest: bytes) -> None:
    """What a power cut leaves of a line is passed over, and what is noted behind it is found."""
    repository = Repository(tmp_path)
    repository.add(MANIFEST, FILES)
    with (tmp_path / ".versions" / "tiny").open("ab") as file:
        file.write(rest)
    assert repository.add(MANIFEST, FILES).version == 2
    shutil.rmtree(tmp_path / "tiny")
    assert repository.add(MANIFEST, FILES).version == 3


def test_an_export_that_fails_takes_no_number(tmp_path: Path) -> None:
    """Its number is for the next one: only what was there once is taken."""
    repository = Repository(tmp_path)

    def refuse(folder: Path) -> None:
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        repository.add(MANIFEST, FILES, refuse)
    assert repository.add(MANIFEST, FILES).version == 1


def test_concurrent_exports_both_succeed(tmp_path: Path) -> None:
    """Eight writers at once get eight versions, each whole."""
    repository = Repository(tmp_path)
    start = threading.Barrier(8)
    versions: list[int] = []

    def export() -> None:
        start.wait(10)
        versions.append(repository.add(MANIFEST, FILES).version)

    threads = [threading.Thread(target=export) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(versions) == list(range(1, 9))
    for version in versions:
        repository.open("tiny", version).verify()
    assert len(list((tmp_path / "tiny").iterdir())) == 8


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Whole or not at all: no version, no rest of one."""
    repository = Repository(tmp_path)
    with pytest.raises(OSError, match="no/such"):
        repository.add(MANIFEST, FILES | {"no/such/folder": b"x"})
    assert repository.versions("tiny") == []
    assert list((tmp_path / "tiny").iterdir()) == []


def test_a_scan_lists_the_sound_and_the_refused(tmp_path: Path) -> None:
    """One broken manifest is named with its reason and hides no other model."""
    repository = Repository(tmp_path)
    repository.add(MANIFEST, FILES)
    repository.add(replace(MANIFEST, name="other"), FILES)
    repository.add(replace(MANIFEST, name="other"), FILES)
    (tmp_path / "other" / "1" / MANIFEST_FILE).write_text("{}")
    sound, refused = repository.scan()
    assert [(each.name, each.version) for each in sound] == [("other", 2), ("tiny", 1)]
    assert [(each.name, each.version) for each in refused] == [("other", 1)]
    assert MANIFEST_FILE in refused[0].reason


def test_what_is_no_version_is_passed_over(tmp_path: Path) -> None:
    """Files, staging folders and strange names are not models."""
    repository = Repository(tmp_path)
    repository.add(MANIFEST, FILES)
    for name in (".staging-x", "0", "01", "-1", "1e3", "latest"):
        (tmp_path / "tiny" / name).mkdir()
    (tmp_path / "tiny" / "7").write_text("a file")
    (tmp_path / "README").write_text("a file")
    (tmp_path / "empty").mkdir()
    assert (repository.names(), repository.versions("tiny")) == (["tiny"], [1])


def test_a_repository_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """Serving nothing is no error; opening what is not there is."""
    repository = Repository(tmp_path / "nowhere")
    assert (repository.names(), repository.scan()) == ([], ([], []))
    with pytest.raises(ArtifactError):
        repository.open("tiny")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../tiny", "/etc", "a\n", "a b", ".hidden", "-x", "x" * 129, "é"]
)
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    """Names that could lead elsewhere are refused before a folder is touched."""
    with pytest.raises(RepositoryError):
        check_model_name(name)
    with pytest.raises(RepositoryError):
        Repository(tmp_path).add(replace(MANIFEST, name=name), FILES)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """RepositoryError, with the folder and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="cannot be written"):
        Repository(tmp_path / "file").add(MANIFEST, FILES)


def test_numbers_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    """RepositoryError, and no version that might be given again."""
    (tmp_path / ".versions").write_text("")
    with pytest.raises(RepositoryError, match=r"\.versions/tiny cannot be written"):
        Repository(tmp_path).add(MANIFEST, FILES)
    assert Repository(tmp_path).names() == []
