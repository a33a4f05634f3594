"""One public module as a user would export it, and what an expert says about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

Serves = Literal["step", "last", "whole", "nothing"]

# The arguments of one call of `forward`, at so many rows and time steps.
Inputs = Callable[[int, int], tuple[Any, ...]]
# The arguments of the next call, of its own new ones and what the call before returned.
Carry = Callable[[tuple[Any, ...], Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Case:
    """A module of a public library.

    `serves`: the most that the module truly allows. `step`, it is a stream; `last`, a stream whose
    output belongs to the last step; `whole`, its output needs the whole sequence; `nothing`, it
    cannot be served, and `why` says why a refusal is right. `carry` is there for modules that take
    one time step a call: their sequences are loops that the caller writes. `batch` and `time` are
    the sizes of the example that the exporter sees, `least` the fewest time steps that the module
    takes.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Inputs
    serves: Serves = "step"
    why: str = ""
    carry: Carry | None = None
    batch: int = 3
    time: int = 12
    least: int = 1

    def example(self) -> tuple[Any, ...]:
        """What the exporter is given."""
        return self.inputs(self.batch, self.time)


def batch_first(features: int) -> Inputs:
    """One input of random numbers, (B, T, F)."""
    return lambda batch, time: (torch.randn(batch, time, features),)


def time_first(features: int) -> Inputs:
    """One input of random numbers, (T, B, F)."""
    return lambda batch, time: (torch.randn(time, batch, features),)


def features_first(features: int) -> Inputs:
    """One input of random numbers, (B, F, T)."""
    return lambda batch, time: (torch.randn(batch, features, time),)


def frame(features: int) -> Inputs:
    """One time step of random numbers, (B, F)."""
    return lambda batch, time: (torch.randn(batch, features),)


def tokens(size: int) -> Inputs:
    """One input of token ids, (B, T)."""
    return lambda batch, time: (torch.randint(0, size, (batch, time)),)
