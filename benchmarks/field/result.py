"""What came of one module, as it travels from the environment to the table."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from benchmarks.field.case import Serves

Outcome = Literal[
    "step", "last", "whole", "refused", "wrong", "traceback", "not installed", "not built"
]

_RANK = {"whole": 1, "last": 2, "step": 3}


@dataclass(frozen=True, slots=True)
class Result:
    """`found` is what the exporter found, or why it or pip refused, in their words. `error` is the
    judge's, in proportion to the largest value; None where there was no program. `varied`: whether
    other sizes than the example's are served. `serves` and `why` are the case's.
    """

    library: str
    version: str
    module: str
    outcome: Outcome
    found: str
    serves: Serves
    why: str = ""
    error: float | None = None
    seconds: float = 0.0
    varied: bool = True

    @property
    def is_tried(self) -> bool:
        """Whether there was a module to export."""
        return self.outcome not in ("not installed", "not built")

    @property
    def is_right(self) -> bool:
        """Served with the right numbers, or refused where nothing could be served."""
        return self.outcome in _RANK or (self.outcome == "refused" and self.serves == "nothing")

    @property
    def is_full(self) -> bool:
        """Right, at any length, and a stream where the module is one."""
        wanted = _RANK.get(self.serves, 0)
        return self.is_right and self.varied and _RANK.get(self.outcome, 0) >= wanted

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, line: str) -> "Result":
        """From its line of JSON."""
        return cls(**json.loads(line))
