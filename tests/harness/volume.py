"""A small volume of its own, in memory, for what happens when a disk is full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20


@contextmanager
def small_volume(folder: Path, mebibytes: float) -> Iterator[Path]:
    """A folder with so much room; skips where it cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={int(mebibytes * 1024)}k"
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode != 0:
        said = done.stderr.decode().strip()
        pytest.skip(f"needs the right to mount (root, with CAP_SYS_ADMIN): {said}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def free_bytes(folder: Path) -> int:
    """What is free there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def fill_up(folder: Path, leave: int = 0) -> Path:
    """A stranger's file that takes all of a volume but for some bytes."""
    stranger = folder / "stranger"
    with stranger.open("ab", buffering=0) as file:
        left = free_bytes(folder) - leave
        while left > 0:
            try:
                left -= file.write(bytes(min(left, MIB)))
            except OSError:
                break
    return stranger
