"""An artifact: a folder with manifest.json, programs, a golden example and checksums."""

import hashlib
import html
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from carousel.models.manifest import (
    FORMAT,
    FileSum,
    Manifest,
    dump_manifest,
    is_altered,
    parse_manifest,
    seal,
)
from carousel.models.report import Report
from carousel.models.row import Array

MANIFEST_FILE = "manifest.json"

# A manifest of ten thousand comparisons is 2 MB.
_MAX_MANIFEST_BYTES = 16 << 20
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class ArtifactError(Exception):
    """An artifact that must not be served. The message names the artifact and what is wrong with
    it.
    """


class Artifact:
    """A complete, immutable artifact on disk. Files are checked against their sums when they are
    read.
    """

    def __init__(self, folder: Path, version: int, manifest: Manifest) -> None:
        self.folder = folder
        self.version = version
        self.manifest = manifest

    def __repr__(self) -> str:
        programs = sorted(self.manifest.programs)
        return f"<Artifact {self.name} version={self.version} programs={programs}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<pre>{html.escape(self.report().text())}</pre>"

    def report(self) -> Report:
        """What it is, for people: `print(artifact.report().text())`."""
        return Report.of(self.manifest, self.version, self.folder.parents[1])

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    @classmethod
    def open(cls, folder: Path, name: str, version: int) -> "Artifact":
        """Read and check the manifest of `folder`; the files' own bytes are checked by `read`.

        Raises ArtifactError if the manifest is missing, unreadable, altered, of another format or
        another model.
        """
        label = f"{name}/{version}"
        data = _read_manifest(folder / MANIFEST_FILE, f"{label}: {MANIFEST_FILE}")
        try:
            manifest = parse_manifest(data)
        except ValidationError as error:
            # Of another format other fields are to be expected: its number is what to say.
            _check_format(label, _format_of(data))
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "it"
            raise ArtifactError(f"{label}: {MANIFEST_FILE}: {where}: {first['msg']}") from None
        _check_format(label, manifest.format)
        if manifest.name != name:
            raise ArtifactError(f"{label}: {MANIFEST_FILE} is of the model {manifest.name!r}")
        if is_altered(manifest):
            raise ArtifactError(
                f"{label}: {MANIFEST_FILE} is not the one that was exported (sha256 differs)"
            )
        return cls(folder, version, manifest)

    def read(self, file: str) -> bytes:
        """The bytes of one file of the artifact, as they were exported.

        Only names listed in the manifest are read, and only regular files with one link, so that no
        artifact can reach outside its folder. Raises ArtifactError on any difference.
        """
        with self._opened(file) as opened:
            data = opened.read()
        if FileSum.of(data) != self.manifest.files[file]:
            raise self._differs(file)
        return data

    def verify(self) -> None:
        """Read every file once; raises ArtifactError at the first that differs."""
        for file, expected in self.manifest.files.items():
            with self._opened(file) as opened:
                digest = hashlib.file_digest(opened, "sha256")
            if digest.hexdigest() != expected.sha256:
                raise self._differs(file)

    def check_same(self, other: "Artifact") -> None:
        """Raise ArtifactError unless this is, to the byte, what `other` was when it was opened."""
        if dump_manifest(self.manifest) != dump_manifest(other.manifest):
            raise ArtifactError(
                f"{self.name}/{self.version}: another artifact has taken its number (sha256 of the "
                "manifest differs): put it there under the next number"
            )
        self.verify()

    def golden(self) -> dict[str, Array]:
        """The golden example's tensors by the names that Manifest describes."""
        return self._tensors(self.manifest.golden)

    def initial(self) -> dict[str, Array]:
        """Stored initial values by state name, in session shape; states not in it start at zero."""
        return {} if self.manifest.initial is None else self._tensors(self.manifest.initial)

    @contextmanager
    def _opened(self, file: str) -> Iterator[BufferedReader]:
        """One file of the manifest, which has the size that it should have."""
        label = f"{self.name}/{self.version}"
        if not _is_file_name(file):
            raise ArtifactError(f"{label}: {file!r:.200} cannot name a file of it")
        expected = self.manifest.files.get(file)
        if expected is None:
            raise ArtifactError(f"{label}: {file} is not a file of this artifact's manifest")
        with _open_plain(self.folder / file, f"{label}: {file}") as opened:
            if os.fstat(opened.fileno()).st_size != expected.bytes:
                raise self._differs(file)
            yield opened

    def _differs(self, file: str) -> ArtifactError:
        return ArtifactError(
            f"{self.name}/{self.version}: {file} is not the file that was exported (sha256 differs)"
        )

    def _tensors(self, file: str) -> dict[str, Array]:
        try:
            return dict(load_safetensors(self.read(file)))
        except SafetensorError as error:
            raise ArtifactError(f"{self.name}/{self.version}: {file}: {error}") from None


def _is_file_name(file: str) -> bool:
    """Whether it can be the name of a file in the artifact's own folder, and of a line in a log."""
    return Path(file).name == file and file.isprintable()


def _read_manifest(path: Path, label: str) -> bytes:
    with _open_plain(path, label) as opened:
        data = opened.read(_MAX_MANIFEST_BYTES + 1)
    if len(data) > _MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{label} is larger than {_MAX_MANIFEST_BYTES} bytes")
    return data


@contextmanager
def _open_plain(path: Path, label: str) -> Iterator[BufferedReader]:
    """A regular file with one link, to read: a pipe would be waited for, a link leads away.

    Raises ArtifactError for anything else, and for what goes wrong while it is read.
    """
    try:
        _check_plain(path.lstat(), label)
        # Looked at again once it is open: it may have become another meanwhile.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            _check_plain(os.fstat(descriptor), label)
            yield opened
    except OSError as error:
        raise ArtifactError(f"{label} cannot be read ({error.strerror})") from None


def _check_plain(status: os.stat_result, label: str) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise ArtifactError(f"{label} is {_KINDS.get(kind, 'special')}, not a plain file")
    if status.st_nlink != 1:
        raise ArtifactError(
            f"{label} has {status.st_nlink} names (hard links), and what is written to one of them "
            "is in all: put a copy in its place"
        )


def _check_format(label: str, found: object) -> None:
    if found != FORMAT:
        raise ArtifactError(
            f"{label}: format {found}, where this Carousel reads format {FORMAT}: export it again"
        )


def _format_of(data: bytes) -> object:
    """The format that a manifest names; this one's where it names none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return FORMAT
    return found.get("format", FORMAT) if isinstance(found, dict) else FORMAT


def write_artifact(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write `files` and the manifest, its sums filled in, into the empty `folder`; returns the
    manifest.
    """
    sums = {file: FileSum.of(data) for file, data in files.items()}
    complete = seal(replace(manifest, files=sums))
    for file, data in files.items():
        (folder / file).write_bytes(data)
    (folder / MANIFEST_FILE).write_bytes(dump_manifest(complete))
    return complete
