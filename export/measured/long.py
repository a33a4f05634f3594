"""A long sequence: what comes late in it, and rounding that adds up."""

from collections.abc import Callable

from carousel.export.measured.cases import FallsShort
from carousel.export.measured.drift import drift
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import LONG, Expected, Reference, size
from carousel.export.programs.candidate import Candidate


def check_long(
    candidate: Candidate, reference: Reference, whole: Callable[[Expected], None]
) -> None:
    """Compare a long sequence by `whole`; raises FallsShort where it is off by more than rounding
    may add up to, and notes what that is.
    """
    batch, long = int(reference.subject.spec.has_batch), None
    if reference.takes(reference.long):
        long = reference.at(batch, reference.long)
    if long is None:
        return
    missed: FallsShort | None = None
    try:
        whole(long)
    except FallsShort as short:
        missed = short
    if missed is None and not _dwarfs(long):
        return
    error = _adds_up(candidate.stepper, reference, long)
    if error is None:
        at = f"{candidate.kind}: whole at {size(batch, long.time)}"
        raise missed or FallsShort(f"{at}: a number beside far larger ones is another")
    if missed is not None:
        note = f"rounding adds up: {error:.0e} off after {long.time:,} steps"
        reference.skipped.append(f"{note} ({candidate.kind})")


def _dwarfs(expected: Expected) -> bool:
    """Whether numbers are so large that smaller ones beside them may be off by anything."""
    usual = expected.subject.tolerance
    return any(
        usual.relative * each.abs().max().item() > usual.ceiling
        for each in expected.tensors().values()
        if each.is_floating_point() and each.numel()
    )


def _adds_up(stepper: Stepper, reference: Reference, expected: Expected) -> float | None:
    """How far a long run is off by rounding, as `drift`; also more, if it has grown with the steps
    (as in sums of sums) and not come at once.
    """
    found = stepper.run_whole(expected.inputs, expected.states, expected.time).all()
    error = drift(expected, found)
    if error is not None or expected.time <= LONG:
        return error
    batch, time, half = int(reference.subject.spec.has_batch), expected.time // 2, None
    short = reference.at(batch, time) if reference.takes(time) else None
    if short is not None:
        half = short, stepper.run_whole(short.inputs, short.states, time).all()
    return drift(expected, found, half=half, grows=True)
