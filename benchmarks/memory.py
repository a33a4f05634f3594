"""What a process takes of the machine's memory, as Linux counts it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in RAM: all of them, with shared pages divided by those who share, and those of no
    file.
    """

    resident: int
    proportional: int
    anonymous: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Of a process now."""
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        found = {name: int(rest.split()[0]) * 1024 for name, _, rest in map(_parts, lines)}
        return cls(found["Rss"], found["Pss"], found["Anonymous"])

    def __sub__(self, other: Self) -> "Memory":
        return Memory(
            self.resident - other.resident,
            self.proportional - other.proportional,
            self.anonymous - other.anonymous,
        )


def _parts(line: str) -> tuple[str, str, str]:
    return line.partition(":")
