"""An artifact is what was exported, to the byte, or it is refused."""

import json
import os
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carousel.models.artifact import MANIFEST_FILE, Artifact, ArtifactError, write_artifact
from carousel.models.manifest import (
    FORMAT,
    FileSum,
    dump_manifest,
    parse_manifest,
    seal,
)
from tests.harness.artifacts import FILES, MANIFEST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound artifact on disk."""
    written = tmp_path / "1"
    written.mkdir()
    write_artifact(written, MANIFEST, FILES)
    return written


def _open(folder: Path) -> Artifact:
    return Artifact.open(folder, "tiny", 1)


def test_a_sound_artifact_reads_as_it_was_written(folder: Path) -> None:
    """Manifest, programs, golden example and initial values come back."""
    artifact = _open(folder)
    artifact.verify()
    assert replace(artifact.manifest, files={}, sha256=None) == MANIFEST
    assert artifact.read("model.onnx") == b"program"
    assert artifact.golden()["input.x"].tolist() == [0, 1, 2, 3]
    assert artifact.initial()["h"].tolist() == [[1, 1]]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _symlink(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def _hard_link(path: Path) -> None:
    os.link(path, path.parent.parent / "elsewhere")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("file", sorted(FILES))
@pytest.mark.parametrize("harm", [_flip, _shorten, _symlink, _hard_link, _folder, Path.unlink])
def test_a_file_that_is_not_what_was_exported_is_refused(
    folder: Path, file: str, harm: Callable[[Path], object]
) -> None:
    """A flipped byte, a missing file, a link of either kind: refused by name, never served."""
    harm(folder / file)
    with pytest.raises(ArtifactError, match=rf"tiny/1: {file}"):
        _open(folder).verify()
    with pytest.raises(ArtifactError):
        _open(folder).read(file)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_hard_link, "has 2 names (hard links)"),
        (_symlink, "is a symbolic link, not a plain file"),
        (_folder, "is a folder, not a plain file"),
        (_pipe, "is a pipe, not a plain file"),
        (_socket, "is a socket, not a plain file"),
        (Path.unlink, "cannot be read (No such file or directory)"),
    ],
)
@pytest.mark.parametrize("file", ["model.onnx", MANIFEST_FILE])
def test_what_stands_in_place_of_a_file_is_said(
    folder: Path, file: str, harm: Callable[[Path], object], words: str
) -> None:
    """A link is called a link, a second name a second name, a pipe a pipe."""
    harm(folder / file)
    with pytest.raises(ArtifactError, match=re.escape(f"tiny/1: {file} {words}")):
        _open(folder).verify()


@pytest.mark.parametrize(
    "file",
    ["a\0b", "a\nb", "\x1b[2J", "\u202eb", "x" * 300, ".", "..", "", "../1/x", "/etc/hostname"],
)
def test_a_name_that_is_none_is_an_artifact_error(folder: Path, file: str) -> None:
    """What no file can be called, or would write to a log what it likes, is refused as others."""
    manifest = replace(MANIFEST, golden=file, files={}, sha256=None)
    sums = {file: FileSum(sha256="0" * 64, bytes=4)}
    (folder / MANIFEST_FILE).write_bytes(dump_manifest(seal(replace(manifest, files=sums))))
    for look in (Artifact.verify, Artifact.golden):
        with pytest.raises(ArtifactError, match="tiny/1: ") as refused:
            look(_open(folder))
        assert str(refused.value).isprintable()


def test_a_name_that_is_no_text_is_an_artifact_error(folder: Path) -> None:
    """Half of a surrogate pair, which JSON can say and no file can be called."""
    text = (folder / MANIFEST_FILE).read_text()
    (folder / MANIFEST_FILE).write_text(text.replace("golden.safetensors", "\\ud800"))
    with pytest.raises(ArtifactError, match="tiny/1"):
        _open(folder).verify()


@pytest.mark.parametrize("claimed", [0, 3, 8, 10**12, 10**30, -1])
def test_a_size_that_is_not_the_file_s_is_refused(folder: Path, claimed: int) -> None:
    """Less than there is, more, more than memory holds: refused by name, and not tried."""
    data = json.loads((folder / MANIFEST_FILE).read_text())
    data["files"]["model.onnx"]["bytes"] = claimed
    del data["sha256"]
    (folder / MANIFEST_FILE).write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match=r"tiny/1: "):
        _open(folder).read("model.onnx")


@pytest.mark.parametrize("file", ["model.onnx", MANIFEST_FILE])
def test_a_file_that_holds_terabytes_is_not_read(folder: Path, file: str) -> None:
    """A sparse file costs its author nothing; what is larger than it should be is not opened up."""
    with (folder / file).open("ab") as sparse:
        sparse.truncate(1 << 42)
    with pytest.raises(ArtifactError, match=f"tiny/1: {file}"):
        _open(folder).verify()


@pytest.mark.parametrize("file", ["other", "../1/model.onnx", "/etc/hostname", MANIFEST_FILE, ""])
def test_only_listed_files_are_read(folder: Path, file: str) -> None:
    """Nothing outside the manifest's list is read, whatever its name."""
    (folder / "other").write_bytes(b"x")
    with pytest.raises(ArtifactError):
        _open(folder).read(file)


def test_a_listed_path_does_not_lead_outside(folder: Path) -> None:
    """A manifest that lists a path is no way out of the folder."""
    outside = folder.parent / "outside"
    outside.write_bytes(b"program")
    data = json.loads((folder / MANIFEST_FILE).read_text())
    data["files"]["../outside"] = data["files"]["model.onnx"]
    (folder / MANIFEST_FILE).write_text(json.dumps(data))
    with pytest.raises(ArtifactError):
        _open(folder).read("../outside")


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data.update(format=FORMAT + 1), f"format {FORMAT + 1}"),
        (lambda data: data.update(format=FORMAT + 1, novelty=True), f"format {FORMAT + 1}"),
        (lambda data: data.update(name="other"), "other"),
        (lambda data: data.update(novelty=True), "novelty"),
        (lambda data: data.pop("state_id"), "state_id"),
        (lambda data: data["spec"].update(novelty=1), "spec.novelty"),
        (lambda data: data.update(programs={"pickle": {}}), "programs"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(folder: Path, change: Change, says: str) -> None:
    """Another format, another model, a field too many or too few: refused, and the field named."""
    data = json.loads((folder / MANIFEST_FILE).read_text())
    change(data)
    (folder / MANIFEST_FILE).write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match=says):
        _open(folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_manifest_that_is_none_is_refused(folder: Path, text: bytes) -> None:
    """What is not JSON, or not an object, is an ArtifactError like any other."""
    (folder / MANIFEST_FILE).write_bytes(text)
    with pytest.raises(ArtifactError, match="tiny/1"):
        _open(folder)


def test_a_changed_byte_of_a_manifest_is_found(folder: Path) -> None:
    """Whatever bit of the manifest is flipped, the artifact is refused: most say something else."""
    data = (folder / MANIFEST_FILE).read_bytes()
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        (folder / MANIFEST_FILE).write_bytes(changed)
        with pytest.raises(ArtifactError, match="tiny/1"):
            _open(folder)


def test_a_manifest_without_a_sum_of_its_own_is_read(folder: Path) -> None:
    """A manifest that was written by hand, or by an older exporter, is no less of one."""
    data = json.loads((folder / MANIFEST_FILE).read_text())
    del data["sha256"]
    (folder / MANIFEST_FILE).write_text(json.dumps(data))
    assert _open(folder).manifest.state_id == MANIFEST.state_id


def test_a_manifest_that_is_no_plain_file_is_refused(folder: Path) -> None:
    """A pipe would be waited for without end; a link leads out of the folder."""
    (folder / MANIFEST_FILE).rename(folder / "elsewhere")
    os.mkfifo(folder / MANIFEST_FILE)
    with pytest.raises(ArtifactError, match="not a plain file"):
        _open(folder)
    (folder / MANIFEST_FILE).unlink()
    (folder / MANIFEST_FILE).symlink_to(folder / "elsewhere")
    with pytest.raises(ArtifactError, match="not a plain file"):
        _open(folder)


def test_a_folder_without_a_manifest_is_refused(folder: Path) -> None:
    """The message says what is missing."""
    (folder / MANIFEST_FILE).unlink()
    with pytest.raises(ArtifactError, match=MANIFEST_FILE):
        _open(folder)


def test_tensors_that_are_none_are_refused(folder: Path) -> None:
    """A golden example that is no safetensors file is refused though its checksum is right."""
    write_artifact(folder, MANIFEST, FILES | {"golden.safetensors": b"nonsense"})
    with pytest.raises(ArtifactError, match="golden"):
        _open(folder).golden()


def test_a_manifest_survives_its_json() -> None:
    """Every field, axes and words included, comes back equal."""
    assert parse_manifest(dump_manifest(MANIFEST)) == MANIFEST
