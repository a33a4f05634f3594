"""A sequence in chunks beside the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from carousel.export.measured.cases import flat
from carousel.export.measured.rows import own_rounding, places
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import Expected, only
from carousel.export.measured.tolerance import (
    FAR,
    Difference,
    Rounding,
    Scale,
)
from carousel.export.programs.faults import fault


@dataclass(frozen=True, slots=True)
class Held:
    """How far chunks are from the whole, in words too: what the runtime said if it failed."""

    found: Difference
    text: str


def chunked(
    stepper: Stepper,
    expected: Expected,
    chunks: Sequence[int],
    hand_on: Mapping[str, str] | None = None,
) -> Held:
    """Whether chunks equal the whole."""
    try:
        result = stepper.run_chunks(expected.inputs, expected.states, chunks, hand_on)
    except Exception as error:  # a runtime's own error: the program cannot take the chunk
        return Held(FAR, fault(error))
    wanted = expected.tensors()

    before, after = places(stepper.spec)
    values = {**expected.inputs, **expected.states}
    run = flat(stepper, expected.time)
    roundings: list[Rounding] = [expected.rounding]
    if stepper.spec.has_batch:
        roundings.append(partial(own_rounding, run, before, after, values, 0))
    found = only(result.all(), wanted)
    far = expected.subject.tolerance.compare(wanted, found, Scale.SMALL, roundings)
    return Held(far, f"error {far.error:.1e}")
