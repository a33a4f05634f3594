"""What a lifting case is, and the seeded inputs the cases are run on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Outcome = Literal["step", "last", "whole", "refused"]
Kind = Literal["normal", "positive", "mask", "clock", "tokens", "labels"]

LENGTHS = (1, 2, 3, 17, 80)


class Example(Protocol):
    """Inputs of a module; a longer example begins with the shorter one's values."""

    def __call__(self, batch: int = 2, steps: int = 7) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class Case:
    """A module, an input for it, and what a truthful exporter should reach.

    outcome: "step": one step a call with finitely many fixed-size states, an output for every
    step; "last": the same, with one output for the sequence; "whole": not streamable as written,
    runs as whole sequences at a fixed or any length; "refused": no truthful program for other
    lengths (or for other data).
    """

    make: Callable[[], nn.Module]
    example: Example
    outcome: Outcome
    why: str
    also: tuple[Outcome, ...] = ()  # other outcomes that would be truthful too
    time: int = 1  # the axis of time, of the inputs and the outputs
    static: tuple[int, ...] = ()  # inputs without time
    lengths: tuple[int, ...] = LENGTHS  # other lengths the eager module is meant to run at
    batches: tuple[int, ...] = (1, 5)
    stateful: bool = False  # a call depends on the calls before it


@dataclass(frozen=True)
class Signal:
    """One input: its sizes after batch and time, and the kind of its values."""

    size: tuple[int, ...]
    kind: Kind = "normal"
    high: int = 0
    timed: bool = True

    def draw(self, batch: int, steps: int, seed: int) -> Tensor:
        """Values [batch, steps, *size], drawn per step so that lengths share a beginning."""
        generator = torch.Generator().manual_seed(seed * 1009 + batch)
        shape = (batch, *self.size)
        frames: list[Tensor] = []
        for _ in range(steps if self.timed else 1):
            if self.kind == "tokens" or self.kind == "labels":
                frames.append(torch.randint(self.high, shape, generator=generator))
            elif self.kind == "mask":
                frames.append((torch.rand(shape, generator=generator) > 0.3).float())
            elif self.kind == "positive" or self.kind == "clock":
                frames.append(torch.rand(shape, generator=generator) + 0.1)
            else:
                frames.append(torch.randn(shape, generator=generator))
        if not self.timed:
            return frames[0]
        values = torch.stack(frames, 1)
        return values.cumsum(1) if self.kind == "clock" else values


def floats(*size: int) -> Signal:
    """Normal values [B, T, *size]."""
    return Signal(size)


def gaps(*size: int) -> Signal:
    """Positive time differences [B, T, *size]."""
    return Signal(size, "positive")


def clock(*size: int) -> Signal:
    """Rising time stamps [B, T, *size]."""
    return Signal(size, "clock")


def mask(*size: int) -> Signal:
    """Zeros and ones, as floats [B, T, *size]."""
    return Signal(size, "mask")


def tokens(high: int) -> Signal:
    """Token ids [B, T], int64."""
    return Signal((), "tokens", high)


def fixed(*size: int) -> Signal:
    """Normal values without time [B, *size]."""
    return Signal(size, timed=False)


def inputs(*signals: Signal, batch: int = 2, steps: int = 7, time: int = 1) -> Example:
    """An example factory of these signals, with time at the axis given."""
    own_batch, own_steps = batch, steps

    def example(batch: int = own_batch, steps: int = own_steps) -> tuple[Tensor, ...]:
        drawn = [s.draw(batch, steps, 7 + i) for i, s in enumerate(signals)]
        return tuple(
            v.movedim(1, time).contiguous() if s.timed else v
            for s, v in zip(signals, drawn, strict=True)
        )

    return example
