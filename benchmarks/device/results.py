"""What is measured of a device, as plain numbers: one JSON file."""

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step of `rows` sessions, in microseconds (medians).

    `committed_us`: the engine's step with every state copied to the host, as a commit wants it;
    `kept_us`: with none; `program_us`: the program alone, inputs from the host and outputs back.
    """

    model: str
    program: str
    rows: int
    committed_us: float
    kept_us: float
    program_us: float


@dataclass(frozen=True, slots=True)
class LayerTime:
    """nn.LSTM in eager torch on the device, inputs and states lying there, in microseconds.

    `waited_us`: each call waited for; `queued_us`: many calls one behind the other, each one's
    share. On CUDA that is cuDNN.
    """

    model: str
    rows: int
    waited_us: float
    queued_us: float


@dataclass(frozen=True, slots=True)
class PoolTime:
    """A step of `rows` sessions out of `slots` that lie anywhere in the pool, all committed.

    `pool_bytes` is what the states take, `device_bytes` what torch allocated for them on a GPU.
    """

    model: str
    program: str
    slots: int
    rows: int
    committed_us: float
    pool_bytes: int
    device_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """After all steps of a model: torch's on the device, all programs' there, this process's on the
    host; 0 for a device that is the CPU.
    """

    model: str
    program: str
    allocated_bytes: int
    reserved_bytes: int
    device_used_bytes: int
    host_bytes: int


@dataclass(slots=True)
class Results:
    """All of a run. `left_out` says what was not measured, and why."""

    device: str
    machine: str
    steps: list[StepTime] = field(default_factory=list)
    layers: list[LayerTime] = field(default_factory=list)
    pools: list[PoolTime] = field(default_factory=list)
    memory: list[MemoryUse] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """The whole of it."""
        return json.dumps(asdict(self), indent=2) + "\n"
