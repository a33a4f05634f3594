"""Redis' append-only file: what a power cut may leave of it, and what it then says of sessions."""

import re
from collections.abc import Iterator
from pathlib import Path

_SESSION = b"carousel:s:default/"


def cut_tail(folder: Path, nbytes: int) -> None:
    """Take the last bytes away, as if they had never reached the disk. Redis is not running."""
    path = _file(folder)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - nbytes)


def size(folder: Path) -> int:
    """Its bytes."""
    return _file(folder).stat().st_size


def num_writes(folder: Path) -> dict[str, int]:
    """How often each session was written, by its id, opening included; deleted ones are not told
    apart. For a file that a started Redis has freed of what was cut.
    """
    found: dict[str, int] = {}
    for command in _commands(_file(folder).read_bytes()):
        if command[0].upper() == b"SET" and command[1].startswith(_SESSION):
            session_id = command[1].removeprefix(_SESSION).decode()
            found[session_id] = found.get(session_id, 0) + 1
    return found


def _file(folder: Path) -> Path:
    """The one that Redis appends to since its start."""
    (path,) = folder.glob("appendonlydir/*.incr.aof")
    return path


def _commands(data: bytes) -> Iterator[list[bytes]]:
    """Arrays of strings, as clients send them."""
    at = 0
    while at < len(data):
        head = re.compile(rb"\*(\d+)\r\n").match(data, at)
        assert head is not None, data[at : at + 40]
        at = head.end()
        words: list[bytes] = []
        for _ in range(int(head[1])):
            length = re.compile(rb"\$(\d+)\r\n").match(data, at)
            assert length is not None, data[at : at + 40]
            at = length.end() + int(length[1])
            words.append(data[length.end() : at])
            at += 2
        yield words
