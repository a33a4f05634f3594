"""A copy of the repository, in which a mutant stands while its tests run."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

# What the tests of a module stand on.
PARTS = ("carousel", "client", "export", "models", "service", "tests", "benchmarks")
FILES = ("pyproject.toml",)
# A change can make a loop without an end that takes memory: it ends by this, and not the machine.
_MOST_BYTES = 6 << 30
# Tests may take so many times what they took unharmed; short ones are mostly start-up.
_TIMES = 4.0


class Outcome(StrEnum):
    """What became of a mutant. SLOW: caught, by the time that its tests took."""

    CAUGHT = "caught"
    SLOW = "slow"
    ALIVE = "alive"


class BrokenTests(Exception):
    """The tests fail without any change; the message says which."""


class Tree:
    """The copy. `least_s`: what tests may take at least before they are in a loop."""

    least_s = 20.0

    def __init__(self, source: Path, folder: Path) -> None:
        self.root = folder / "tree"
        self._temporary = folder / "temporary"
        self.root.mkdir()
        for part in PARTS:
            if (source / part).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source / part, self.root / part, symlinks=True, ignore=ignore)
        for name in FILES:
            shutil.copy2(source / name, self.root / name)

    def measure(self, tests: Sequence[str]) -> float:
        """Seconds that the tests take unharmed; raises BrokenTests."""
        begun = time.monotonic()
        code, output = self._run(tests, 600.0, keep_compiled=True)
        if code != 0:
            raise BrokenTests(f"{' '.join(tests)} fail without any change:\n{output}")
        return time.monotonic() - begun

    def outcome(self, path: str, code: str, tests: Sequence[str], usual_s: float) -> Outcome:
        """What the tests say of a module with this code; the module is put back."""
        module = self.root / path
        unharmed = module.read_text()
        # It is known by its second and size, which a mutant may share.
        for each in (module.parent / "__pycache__").glob(f"{module.stem}.*.pyc"):
            each.unlink()
        module.write_text(code)
        try:
            result, _ = self._run(tests, max(self.least_s, _TIMES * usual_s), keep_compiled=False)
        finally:
            module.write_text(unharmed)
        if result is None:
            return Outcome.SLOW
        return Outcome.ALIVE if result == 0 else Outcome.CAUGHT

    def _run(
        self, tests: Sequence[str], limit_s: float, *, keep_compiled: bool
    ) -> tuple[int | None, str]:
        """The exit status, None past the limit, and the end of what pytest said."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["--hypothesis-seed=0", f"--basetemp={self._temporary}", *tests]
        # In front of what is installed, which is the checkout, and without what led here.
        found = os.pathsep.join((str(self.root), str(self.root / "client")))
        environment = {**os.environ, "PYTHONPATH": found}
        if not keep_compiled:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            # What the tests started and a change kept them from ending.
            _end_group(process)
        return process.returncode, output[-4000:].decode(errors="replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
