"""Bytes as people read them, and as a disk has them."""

import shutil
from pathlib import Path

from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble


def shown_bytes(count: int) -> str:
    """A size in decimal units."""
    if count < 1000:
        return f"{count} B"
    size = count / 1000
    for unit in ("kB", "MB", "GB"):
        if round(size, 1) < 1000:
            return f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def require_room(folder: Path, num_bytes: int) -> None:
    """Raise Trouble unless a folder's disk has so much free space."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise Trouble(
            f"up to {shown_bytes(num_bytes)} of free disk space are needed in {folder}, and there "
            f"are {shown_bytes(free)}"
        )
