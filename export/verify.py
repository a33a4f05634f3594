"""Parity: a program beside the untouched module, over batch sizes and lengths."""

from collections.abc import Iterator, Sequence

from carousel.export.compare import Difference, difference, worst
from carousel.export.errors import first_line
from carousel.export.programs import Candidate, Result
from carousel.export.reference import Expected, Reference
from carousel.models.manifest import ParityCase

BATCHES = (1, 3, 33)
TIMES = (1, 2, 7, 100)
_SMALL = 7  # sizes up to this many frames are drawn several times,
_DRAWS = 4  # so that a forward that branches on what it reads is seen taking the other way


class FallsShort(Exception):
    """A program that does not equal the original; the message says where."""


def grid(reference: Reference) -> Iterator[Expected]:
    """The original at every size of the grid that it has and accepts."""
    batches: Sequence[int] = BATCHES if reference.layout.batch else (0,)
    times: Sequence[int] = TIMES if reference.layout.time else (0,)
    for batch in batches:
        for time in times:
            draws = _DRAWS if max(batch, 1) * max(time, 1) <= _SMALL else 1
            for draw in range(draws):
                expected = reference.at(batch, time, draw)
                if expected is not None:
                    yield expected


def compare(expected: Expected, result: Result) -> Difference:
    """The worst difference among outputs and final states."""
    pairs = [(expected.outputs[name], result.outputs[name]) for name in expected.outputs]
    pairs += [
        (final, result.states[name])
        for name, final in expected.finals.items()
        if name in result.states
    ]
    return worst([difference(wanted, actual) for wanted, actual in pairs])


def case(candidate: Candidate, check: str, expected: Expected, found: Difference) -> ParityCase:
    """One line of the parity table; raises FallsShort where the bound is not met."""
    batch, time = max(expected.batch, 1), max(expected.time, 1)
    if not found.passes:
        raise FallsShort(
            f"{candidate.kind}: {check} at B={batch} T={time}: error {found.error:.1e}, "
            f"bound {found.bound:.1e}"
        )
    return ParityCase(
        program=candidate.kind,
        check=check,
        batch=batch,
        time=time,
        error=found.error,
        bound=found.bound,
    )


def whole(candidate: Candidate, reference: Reference) -> list[ParityCase]:
    """Whole sequences over the grid, the worst of each size; raises FallsShort at the first that
    differs.
    """
    cases: dict[tuple[int, int], ParityCase] = {}
    for expected in grid(reference):
        try:
            result = candidate.run_whole(expected.inputs, expected.states, expected.time)
        except Exception as error:  # a runtime's own error: the program cannot do this size
            raise FallsShort(
                f"{candidate.kind}: fails at B={max(expected.batch, 1)} "
                f"T={max(expected.time, 1)}: {first_line(error)}"
            ) from None
        found = case(candidate, "whole", expected, compare(expected, result))
        known = cases.get((found.batch, found.time), found)
        cases[found.batch, found.time] = max(known, found, key=lambda each: each.error)
    if not cases:
        raise FallsShort(f"{candidate.kind}: the module accepts no size of the grid")
    return list(cases.values())
