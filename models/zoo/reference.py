"""A reference model: a module that anyone can build again, bit for bit, and what it is called with.

The rule of this package: a build depends on nothing but its recipe. It takes its randomness from a
fixed seed, and leaves the caller's random numbers as they were.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from carousel.models.spec import Axis

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reference:
    """One model of the zoo.

    `build` trains where there is something to learn, tells `Report` how it goes, and returns the
    module in eval mode. `example` is the tuple that `forward` takes. `axes` names the axes of
    inputs where they cannot be measured by running other sizes; `fixed` the parameters of forward
    that are set when a session opens and never change.
    """

    name: str
    summary: str
    build: Callable[[Report], nn.Module]
    example: Callable[[], tuple[torch.Tensor, ...]]
    axes: Mapping[str, tuple[Axis, ...]] | None = None
    output_names: tuple[str, ...] | None = None
    fixed: tuple[str, ...] = ()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch's CPU generator starts at `seed`; afterwards it stands where it stood.

    One thread does the work: sums come out the same then, wherever they are made, and networks as
    small as these only lose by more. `torch.manual_seed` would reseed the generators of
    accelerators too, which nothing here uses.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def normal(*sizes: int, seed: int = 0) -> torch.Tensor:
    """The same standard normal numbers at every call, shaped as `sizes`."""
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))
