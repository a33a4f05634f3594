"""Sums that never forget: how far they come off by rounding, told beside what was found."""

from carousel.export.measured.subject import Reference, only
from carousel.export.measured.tolerance import Tolerance
from carousel.export.programs.candidate import Candidate

STEPS = 10_000


def told(candidate: Candidate, reference: Reference) -> tuple[str, ...]:
    """The figure after many steps of one row beside the original's whole run; nothing where the
    original takes no such sequence.
    """
    batch = int(reference.subject.spec.has_batch)
    expected = reference.at(batch, STEPS) if reference.takes(STEPS) else None
    if expected is None:
        return ()
    found = candidate.stepper.run_whole(expected.inputs, expected.states, STEPS)
    wanted = expected.tensors()
    off = Tolerance(1.0, 1.0).compare(wanted, only(found.all(), wanted))
    return (
        f"what it sums up it never forgets: off by {off.ratio:.0e} of the largest value after "
        f"{STEPS:,} steps",
    )
