"""One session of the witness in plain Python, as the contract has it."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class SessionModel:
    """One session as the contract has it; `steps`: recorded (base, inputs, answer)."""

    used_at: float
    total: float = 0.0
    position: int = 0
    steps: list[tuple[int, list[float], list[float]]] = field(default_factory=list)

    def take(self, values: list[float]) -> list[float]:
        """The sums that a step gives."""
        return [float(each) for each in self.total + np.cumsum(values)]

    def advance(self, values: list[float], now: float) -> None:
        """A step that counts."""
        answer = self.take(values)
        self.steps.append((self.position, values, answer))
        self.position += len(values)
        self.total = answer[-1]
        self.used_at = now

    def recorded(self, position: int) -> tuple[int, list[float], list[float]] | None:
        """The step from `position`, if the contract promises that it is recorded."""
        return next((each for each in self.steps if each[0] == position), None)

    def is_kept(self, position: int) -> bool:
        """Of the last eight, as far back as their outputs (8 bytes a value) fit in 4 KiB."""
        nbytes = 0
        for count, (base, values, _) in enumerate(reversed(self.steps)):
            nbytes += 8 * len(values)
            if count > 0 and (count >= 8 or nbytes > 4096):
                return False
            if base == position:
                return True
        return False
