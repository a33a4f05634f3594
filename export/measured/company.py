"""Rows in company: a full batch beside rows of it alone, where neighbours are loud, silent, or have
what draws do not have; a fault of one session is none of another.
"""

from functools import partial

from carousel.export.measured.cases import Cases, FallsShort, flat
from carousel.export.measured.rows import around, joined, own_rounding, places, take
from carousel.export.measured.subject import Given, NotAccepted, Reference, only
from carousel.export.measured.tolerance import Scale
from carousel.export.measured.unusual import unusual_steps
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import RunFailed, fault
from carousel.export.threads import LARGE

BATCH = 33
_FEW, _SEEDS = 2, 6  # steps, fewer than most lengths that are drawn; and how often


def check_rows(candidate: Candidate, reference: Reference, cases: Cases, time: int) -> None:
    """Compare rows of full batches of `time` steps, of few steps too, where integers may count, and
    of the most that `cases` has; raises FallsShort where one is another in company.
    """
    company, subject = _Company(candidate, reference, cases), reference.subject
    longest = max(each.time for each in cases.all() if each.check == "whole")
    company.check(time)
    if subject.num_weights() < LARGE:
        if time < longest:
            company.check(longest)
        company.check_unusual(time)
    for mark in subject.marks:
        if abs(mark) > 1:
            company.check(time, 53, peak=abs(mark))
    if subject.spans and time > _FEW:
        for seed in range(_SEEDS):
            company.check(_FEW, 52 + seed)


class _Company:
    """A program whose rows are compared."""

    def __init__(self, candidate: Candidate, reference: Reference, cases: Cases) -> None:
        self._kind = candidate.kind
        self._stepper = candidate.stepper
        self._reference = reference
        self._subject = reference.subject
        self._places = places(reference.subject.spec)
        self._cases = cases

    def __repr__(self) -> str:
        return f"<_Company {self._kind}>"

    def check(self, time: int, seed: int = 51, peak: float | None = None) -> None:
        """Three rows of a full batch; `around` has even and odd ones unlike."""
        given = self._subject.draw(BATCH, time, seed, anywhere=True)
        if peak is not None:
            given = Given(around(given.inputs, self._places[0], peak), given.states)
        self._compare(given, BATCH, time, (0, BATCH // 2 | 1, BATCH - 1))

    def check_unusual(self, time: int) -> None:
        """A usual row beside one of each unusual kind."""
        expected, before = self._reference.at(1, time), self._places[0]
        if expected is None:
            return
        several = [each.inputs for each in unusual_steps(self._subject.spec, expected)]
        states = [expected.given.states] * (len(several) + 1)
        given = Given(joined(before, [expected.inputs, *several]), joined(before, states))
        self._compare(given, len(several) + 1, time, (0,))

    def _compare(self, given: Given, batch: int, time: int, rows: tuple[int, ...]) -> None:
        states = {**self._subject.start(given, batch), **given.states}
        try:
            found = self._stepper.run_whole(given.inputs, states, time).all()
        except RunFailed as failed:
            if self._accepts(given):
                raise FallsShort(f"{self._kind}: rows: {fault(failed)}") from None
            return
        before, after = self._places
        run = flat(self._stepper, time)
        for row in rows:
            one = Given(take(given.inputs, before, (row,)), take(given.states, before, (row,)))
            try:
                alone = self._reference.run(one, 1, time)
            except NotAccepted as error:
                if self._accepts(given) and not self._accepts(one):
                    # In company it is answered with what is somebody else's.
                    text = f"a row that fails alone is answered in company ({error})"
                    raise FallsShort(f"{self._kind}: {text}") from None
                continue
            values = {**given.inputs, **states}
            far = self._subject.tolerance.compare(
                alone.tensors(),
                take(only(found, alone.tensors()), after, (row,)),
                Scale.SMALL,
                [alone.rounding, partial(own_rounding, run, before, after, values, row)],
            )
            self._cases.add("rows", batch, time, far)

    def _accepts(self, given: Given) -> bool:
        try:
            self._subject.run(given)
        except NotAccepted:
            return False
        return True
