"""Large values: where the runtimes compute one operator in two ways, these show it."""

from carousel.export.measured.cases import FallsShort
from carousel.export.measured.drift import drift
from carousel.export.measured.rows import LOUD
from carousel.export.measured.subject import Expected, size
from carousel.export.measured.tolerance import Tolerance
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import RunFailed, fault


def check_loud(candidate: Candidate, expected: Expected) -> None:
    """Raise FallsShort where the program's answer to loud inputs is another.

    What is finite is compared, as far as the original itself is exact there.
    """
    usual = expected.subject.tolerance
    # What is so many times as loud is off so many times as far.
    loud = Tolerance(usual.relative * LOUD, usual.ceiling * LOUD)
    wanted = {
        name: each for name, each in expected.tensors().items() if bool(each.isfinite().all())
    }
    try:
        found = candidate.stepper.run_whole(expected.inputs, expected.states, expected.time)
    except RunFailed as failed:
        raise FallsShort(f"{candidate.kind}: loud inputs: {fault(failed)}") from None
    off = loud.compare(wanted, found.all(), roundings=[expected.rounding])
    if not off.passes and drift(expected, found.all(), loud, names=wanted) is None:
        raise FallsShort(
            f"{candidate.kind}: loud inputs at {size(expected.batch, expected.time)}: "
            f"error {off.error:.1e}, bound {off.bound:.1e}"
        )
