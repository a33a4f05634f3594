"""What `carousel-export import` makes of bytes: its exit code, what it said, the artifact."""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from carousel.export.__main__ import main
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository


@dataclass(frozen=True)
class Outcome:
    """One run of the command."""

    code: int
    said: str
    repository: Path

    @property
    def artifact(self) -> Artifact:
        """What was written; fails with what was said where nothing was."""
        assert self.code == 0, self.said
        return Repository(self.repository).open("m")


def run_import(folder: Path, data: bytes, *flags: str) -> Outcome:
    """Import a file of these bytes as the next version of `m`."""
    path, said = folder / "file", io.StringIO()
    path.write_bytes(data)
    given = ["import", f"{path}", "--name", "m", "--model-repository", f"{folder / 'models'}"]
    with redirect_stdout(said), redirect_stderr(said):
        code = main([*given, *flags])
    return Outcome(code, said.getvalue(), folder / "models")
