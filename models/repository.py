"""The model repository on disk: `<root>/<model>/<version>/`, versions counting up from 1.

Models are found by listing folders, never by joining a name that a client sent to a path.
`<root>/.versions/<model>` holds the numbers that exports have given (version_numbers.py).
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from carousel.models.artifact import Artifact, ArtifactError, write_artifact
from carousel.models.manifest import Manifest
from carousel.models.version_numbers import VersionNumbers

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_NUMBERS_FOLDER = ".versions"


class RepositoryError(Exception):
    """The repository itself cannot be used. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An artifact that was found and must not be served, and why."""

    name: str
    version: int
    reason: str


def check_model_name(name: str) -> None:
    """Raise RepositoryError unless `name` can be a model's name: letters, digits and `._-`, 128 at
    most.
    """
    if not isinstance(name, str) or not _MODEL_NAME.fullmatch(name):
        raise RepositoryError(
            f"{name!r} cannot be a model's name: letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit, 128 at most"
        )


class Repository:
    """A folder of artifacts. Reading never changes it; `add` writes the next version in one
    rename.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"<Repository {self.root} models={len(self.names())}>"

    def names(self) -> list[str]:
        """The models that have at least one version, sorted."""
        if not self.root.is_dir():
            return []
        found = (each.name for each in self.root.iterdir() if _MODEL_NAME.fullmatch(each.name))
        return sorted(name for name in found if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """The versions of a model that are on disk, ascending; empty if there is no such model."""
        check_model_name(name)
        folder = self.root / name
        if not folder.is_dir():
            return []
        return sorted(
            int(each.name)
            for each in folder.iterdir()
            if _VERSION.fullmatch(each.name) and each.is_dir()
        )

    def open(self, name: str, version: int | None = None) -> Artifact:
        """An artifact, the highest version unless one is named; raises ArtifactError if it is not
        sound.
        """
        versions = self.versions(name)
        wanted = version if version is not None else (versions[-1] if versions else None)
        if wanted is None or wanted not in versions:
            raise ArtifactError(f"{name}/{version or 'latest'}: there is no such artifact")
        return Artifact.open(self.root / name / str(wanted), name, wanted)

    def scan(self) -> tuple[list[Artifact], list[Refused]]:
        """Every artifact whose manifest can be read, and those that cannot with the reason."""
        sound: list[Artifact] = []
        refused: list[Refused] = []
        for name in self.names():
            for version in self.versions(name):
                try:
                    sound.append(self.open(name, version))
                except ArtifactError as error:
                    refused.append(Refused(name, version, str(error)))
                except Exception as error:
                    # A file can be wrong in ways that nobody thought of, and hides no other.
                    refused.append(Refused(name, version, f"{name}/{version}: {error!r}"))
        return sound, refused

    def add(
        self,
        manifest: Manifest,
        files: Mapping[str, bytes],
        check: Callable[[Path], None] | None = None,
    ) -> Artifact:
        """Write the next version of `manifest.name`, whole or not at all; concurrent writers both
        succeed.

        `check` looks at the folder before it has a version; where it raises, nothing is written.
        No number is given twice. Raises RepositoryError if the folder cannot be written.
        """
        check_model_name(manifest.name)
        folder = self.root / manifest.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder))
        except OSError as error:
            raise RepositoryError(f"{folder} cannot be written: {error.strerror}") from None
        try:
            complete = write_artifact(staging, manifest, files)
            if check is not None:
                check(staging)
            staging.chmod(0o755)
            version = self._publish(staging, folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return Artifact(folder / str(version), version, complete)

    def _publish(self, staging: Path, folder: Path) -> int:
        with ExitStack() as stack:
            numbers = self.root / _NUMBERS_FOLDER
            try:
                given = stack.enter_context(VersionNumbers.locked(numbers, folder.name))
            except OSError as error:
                raise RepositoryError(
                    f"{numbers / folder.name} cannot be written: {error.strerror}"
                ) from None
            while True:
                version = max(given.highest(), *self.versions(folder.name), 0) + 1
                # Noted before it is there: an export that is killed in between leaves a gap.
                given.add(version)
                try:
                    os.rename(staging, folder / str(version))
                except OSError:
                    # Somebody put a folder there between the listing and the rename.
                    if not (folder / str(version)).exists():
                        raise
                else:
                    return version
