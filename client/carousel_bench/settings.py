"""What a benchmark is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

STEP, SEQUENCE, BULK, STREAM = "step", "sequence", "bulk", "stream"
KINDS = (STEP, SEQUENCE, BULK, STREAM)


@dataclass(frozen=True, slots=True)
class Settings:
    """`mix`: the weight of each kind of request; empty where the model decides. `rates`: those of
    open loops, requests/s; `closed_only`: one closed loop and nothing else; neither: the whole
    tour, with the knee. `p99_ms`: what the knee holds to; None where one session alone decides.
    """

    url: str
    api_key: str | None = field(repr=False)
    model: str | None
    mix: Mapping[str, float]
    is_json: bool
    steps: int
    length: int
    rows: int
    sessions: int
    rates: tuple[float, ...]
    closed_only: bool
    p99_ms: float | None
    seconds: int
    warmup_s: int
    ttl_s: int
    processes: int
    seed: int

    def shown(self) -> dict[str, object]:
        """For a report: all but the key."""
        names = (each for each in self.__slots__ if each != "api_key")
        return {name: getattr(self, name) for name in names} | {"mix": dict(self.mix)}
