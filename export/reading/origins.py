"""Which inputs each output is made of, by running: what a pair in doubt would mean."""

from collections.abc import Collection, Mapping

import torch

from carousel.export.measured.subject import Given, NotAccepted
from carousel.export.reading.subject import FileSubject

_DRAWS = 3


def origins(
    subject: FileSubject, outputs: Collection[str], batch: int, time: int
) -> Mapping[str, list[str]]:
    """The inputs whose change changes each output; nothing where the program takes no change."""
    found: dict[str, list[str]] = {name: [] for name in outputs}
    first = subject.draw(batch, time, 31).inputs
    try:
        before = subject.run(Given(first, {})).outputs
        for name in first:
            for seed in range(32, 32 + _DRAWS):
                other = {**first, name: subject.draw(batch, time, seed).inputs[name]}
                after = subject.run(Given(other, {})).outputs
                for output in outputs:
                    if name not in found[output] and not torch.equal(before[output], after[output]):
                        found[output].append(name)
    except (KeyError, NotAccepted):  # it takes no such values, or the output is none of it
        return {}
    return found
