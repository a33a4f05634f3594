"""Damaged files are refused with a sentence, whatever byte it is that is wrong."""

import random
from pathlib import Path

import pytest

from tests.export.imported.foreign.files import script_bytes
from tests.export.imported.foreign.graphs import cell
from tests.export.imported.foreign.hidden import Explicit
from tests.export.imported.outcome import run_import

FLAGS = (
    *("--input", "x:float32:1,4", "--input", "state:float32:1,4"),
    *("--state", "state=output_1", "--quiet"),
)
MODULE = Explicit()
ARCHIVE = script_bytes(MODULE)
DIRECTORY = ARCHIVE.rfind(b"PK\x01\x02")


def changed(data: bytes, place: int, byte: int) -> bytes:
    """The data with one byte instead of another."""
    return data[:place] + bytes([byte]) + data[place + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        changed(ARCHIVE, DIRECTORY + 2, 9),
        changed(ARCHIVE, DIRECTORY + 46, 0xF0),
        changed(ARCHIVE, ARCHIVE.index(b"code/"), 0x7F),
    ],
    ids=["magic number", "name", "folder"],
)
def test_a_damaged_directory_is_refused(tmp_path: Path, data: bytes) -> None:
    """The reason is that of whoever read it first."""
    outcome = run_import(tmp_path, data, *FLAGS)
    assert outcome.code == 1
    assert "Way out: " in outcome.said


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """The sums in the archive are looked at: torch itself takes any weight."""
    place = ARCHIVE.index(MODULE.linear.weight.detach().numpy().tobytes())
    outcome = run_import(tmp_path, changed(ARCHIVE, place, ARCHIVE[place] ^ 1), *FLAGS)
    assert outcome.code == 1
    assert "does not fit its checksum" in outcome.said


def test_no_damaged_byte_ends_in_a_traceback(tmp_path: Path) -> None:
    """Bytes anywhere and bytes of the directory, and files that end too early."""
    rng = random.Random(5)
    for _ in range(5):
        place = len(ARCHIVE) - rng.randrange(1, 900)
        run_import(tmp_path, changed(ARCHIVE, place, rng.randrange(256)), *FLAGS)
        place = rng.randrange(len(ARCHIVE))
        run_import(tmp_path, changed(ARCHIVE, place, rng.randrange(256)), *FLAGS)
        run_import(tmp_path, ARCHIVE[: rng.randrange(len(ARCHIVE))], *FLAGS)
    data = cell()
    for _ in range(25):
        place = rng.randrange(len(data))
        run_import(tmp_path, changed(data, place, rng.randrange(256)), "--quiet")
