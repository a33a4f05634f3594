"""A module with one change."""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """What is known of a change wherever its line has moved to: the function, what stood there and
    what stands there now, on one line each.
    """

    function: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """`key`: its name in a module, the same as long as its function keeps this line; `line`: from
    1; `code`: the module's whole source.
    """

    key: str
    line: int
    change: Change
    code: str

    def diff(self, source: str, path: str) -> str:
        """From `source`, which it was made of."""
        lines = difflib.unified_diff(
            *(source.splitlines(), self.code.splitlines()), path, path, lineterm="", n=1
        )
        return "\n".join(list(lines)[2:])
