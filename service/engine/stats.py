"""What an engine counts; plain numbers that /metrics reads."""

from dataclasses import dataclass


@dataclass(slots=True)
class EngineStats:
    """Written by the engine's thread; a reader may see a batch half counted."""

    batches: int = 0
    rows: int = 0
    steps: int = 0
    run_s: float = 0.0
    failures: int = 0

    def ran(self, num_rows: int, num_steps: int, elapsed_s: float) -> None:
        self.batches += 1
        self.rows += num_rows
        self.steps += num_steps
        self.run_s += elapsed_s
