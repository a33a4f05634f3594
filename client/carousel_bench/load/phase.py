"""A phase: one loop at one rate for some seconds, as each load process is told it."""

from dataclasses import dataclass

from carousel_bench.load.work import Seat
from carousel_bench.tally import Tally


@dataclass(frozen=True, slots=True)
class Phase:
    """`rate` in requests/s, of the lanes of these seats together; None is a closed loop. What
    happens in the `warmup_s` before the `seconds` is not measured.
    """

    seats: tuple[Seat, ...]
    rate: float | None
    warmup_s: float
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Progressed:
    """What a process has counted since it said so last, by second."""

    tallies: dict[int, Tally]


@dataclass(frozen=True, slots=True)
class Ended:
    """A process is done. `cpu_share`: of one core, during the phase. `is_gone`: it has lost the
    server.
    """

    cpu_share: float
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """A process could not do it."""

    why: str


@dataclass(frozen=True, slots=True)
class Stop:
    """What a process is told that shall end before its time."""


Report = Progressed | Ended | Failed
