"""What a client knows of its session: where it stands, its running sums, its last steps. Pure."""

from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

# One time step, (F,): integers, so that their sums are exact.
Row = tuple[int, int]

ZERO: Row = (0, 0)
_KEPT_STEPS = 8
_KEPT_EVENTS = 10_000


class Violation(Exception):
    """The service broke its promise; the message says how, and tells the session's history."""


@dataclass(slots=True, eq=False)
class Step:
    """A step as its client knows it: where it starts, what it feeds, what must come out.

    `num_fresh` counts the answers that say it was run, not recorded: never more than one.
    """

    base: int
    rows: list[Row]  # (T, F)
    sums: list[Row]  # (T, F)
    num_fresh: int = 0

    @property
    def end(self) -> int:
        """The position it leads to."""
        return self.base + len(self.rows)


@dataclass(frozen=True, slots=True)
class Told:
    """What the answer to a step says."""

    outputs: list[Row]  # (T, F)
    position: int
    replayed: bool
    state: Row | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session stands."""

    position: int
    sums: Row


@dataclass(slots=True, eq=False)
class Truth:
    """One session. `recent`: its last acknowledged steps, oldest first, as far as they are recorded
    for a replay.
    """

    id: str
    place: Place = Place(0, ZERO)
    recent: deque[Step] = field(default_factory=lambda: deque(maxlen=_KEPT_STEPS))
    history: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_EVENTS))
    deleted: bool = False

    def plan(self, rows: list[Row]) -> Step:
        """The step that feeds `rows` next, with what it must answer."""
        sums = list(accumulate(rows, _add, initial=self.place.sums))
        return Step(self.place.position, rows, sums[1:])

    def judge(self, step: Step, told: Told, *, replayed: bool | None = None) -> None:
        """Raise Violation unless this is the one right answer to `step`.

        `replayed`: what the answer must say of that; None where either is right.
        """
        if told.outputs != step.sums:
            raise self.violation(f"outputs {told.outputs}; expected {step.sums}")
        if told.position != step.end:
            raise self.violation(f"position {told.position}; expected {step.end}")
        if replayed is not None and told.replayed is not replayed:
            raise self.violation(f"replayed {told.replayed}; expected {replayed}")
        if told.state is not None and told.state != step.sums[-1]:
            raise self.violation(f"state {told.state}; expected {step.sums[-1]}")
        step.num_fresh += not told.replayed
        if step.num_fresh > 1:
            raise self.violation(f"the step from {step.base} to {step.end} was run twice")

    def advance(self, step: Step) -> None:
        """A step was acknowledged."""
        self.place = Place(step.end, step.sums[-1])
        self.recent.append(step)

    def put(self, place: Place) -> None:
        """The session was reset or written: no step before it is recorded any more."""
        self.place = place
        self.recent.clear()

    def note(self, event: str) -> None:
        """Remember an event for the report of a violation."""
        self.history.append(event)

    def violation(self, what: str) -> Violation:
        """A Violation that tells all that is known of the session."""
        events = "\n  ".join(self.history)
        kept = "\n  ".join(f"{each.base} to {each.end}: {each.rows}" for each in self.recent)
        return Violation(
            f"session {self.id} at {self.place}: {what}\n"
            f"its last steps:\n  {kept}\nits history, oldest first:\n  {events}"
        )

    def dump(self) -> dict[str, Any]:
        """The session for a file; of the recorded steps the very last, which is always kept."""
        last = [{"base": each.base, "rows": each.rows, "sums": each.sums} for each in self.recent]
        return {
            "id": self.id,
            "position": self.place.position,
            "sums": self.place.sums,
            "last": last[-1:],
        }


def load_truth(saved: dict[str, Any]) -> Truth:
    """A session that `Truth.dump` wrote."""
    truth = Truth(saved["id"], Place(saved["position"], _row(saved["sums"])))
    for each in saved["last"]:
        rows, sums = (list(map(_row, each[name])) for name in ("rows", "sums"))
        # It was answered before: every answer from now on is a replay.
        truth.recent.append(Step(each["base"], rows, sums, num_fresh=1))
    truth.note(f"continued at {truth.place}")
    return truth


def _row(values: list[int]) -> Row:
    first, second = values
    return first, second


def _add(one: Row, other: Row) -> Row:
    return one[0] + other[0], one[1] + other[1]
