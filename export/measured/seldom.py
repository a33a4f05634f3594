"""What seldom happens: a program beside the original, both with comparisons answered otherwise."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property

from carousel.export.errors import ExportRefused
from carousel.export.measured.otherwise import WAYS, Otherwise
from carousel.export.measured.rows import places, take
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import Given, NotAccepted, Reference, only
from carousel.export.measured.tolerance import Scale, Tensors
from carousel.export.programs.faults import RunFailed

_BATCH, _STEPS = 8, 12  # beside single steps
_ENDS = 4, 7, 12  # where an answer belongs to all steps
_ROWS, _FEW = 3, 4  # beside each row alone, and of how many steps
_SEEDS, _ENOUGH = 4, 2  # of inputs, and of those behind the first


class Seldom:
    """Of one trace, by the program whose operators can be watched, which is TorchScript's."""

    def __init__(self, stepper: Stepper, reference: Reference) -> None:
        self._stepper = stepper
        self._reference = reference
        self._batched = stepper.spec.has_batch
        self._time = _STEPS if stepper.spec.has_time else 0

    def __repr__(self) -> str:
        return f"<Seldom {self._stepper!r}>"

    @cached_property
    def steps_differ(self) -> bool:
        """Whether single steps have less memory than the whole, or the whole knows what comes."""
        return self._any(self._steps_differ)

    @cached_property
    def rows_differ(self) -> bool:
        """Whether rows are others in company."""
        return self._batched and self._any(self._rows_differ)

    def _any(self, differs: Callable[[int, int], bool]) -> bool:
        if self._reference.costs_too_much(_BATCH, self._time):
            return False
        if not (self._look.compares or self._look.shut):
            return False
        for way in range(WAYS):
            if not differs(way, 0):
                continue
            # What rounding decides, at an edge, comes out so for few inputs.
            if sum(differs(way, seed) for seed in range(1, _SEEDS)) >= _ENOUGH:
                return True
        return False

    @cached_property
    def _look(self) -> Otherwise:
        """What there is to answer otherwise."""
        given = self._given(int(self._batched), self._time, 0)
        look = self._otherwise(given, -1)
        with suppress(NotAccepted, ExportRefused), look:
            self._reference.subject.run(given)
        return look

    def _steps_differ(self, way: int, seed: int) -> bool:
        several = any(each.per == "sequence" for each in self._stepper.spec.outputs)
        batch = _BATCH if self._batched else 0
        for time in _ENDS if several else (_STEPS,):
            given = self._given(batch, time, seed)
            whole = self._original(given, way)
            if whole is not None:
                found = self._program(given, batch, way, chunks=[1] * time)
                if found is None or not self._same(whole, found):
                    return True
        return False

    def _rows_differ(self, way: int, seed: int) -> bool:
        before, after = places(self._stepper.spec)
        time = min(self._time, _FEW)
        given = self._given(_ROWS, time, seed)
        found = self._program(given, _ROWS, way, whole=time)
        if found is None:
            return False
        for row in range(_ROWS):
            one = Given(take(given.inputs, before, (row,)), take(given.states, before, (row,)))
            alone = self._original(one, way)
            if alone is not None and not self._same(alone, take(only(found, alone), after, (row,))):
                return True
        return False

    def _given(self, batch: int, time: int, seed: int) -> Given:
        return self._reference.subject.draw(batch, time, 90 + seed, anywhere=True)

    def _original(self, given: Given, way: int) -> Tensors | None:
        """What it answers; None where that is nothing to compare with."""
        try:
            with self._otherwise(given, way):
                whole = self._reference.subject.run(given).all()
        except (NotAccepted, ExportRefused):  # whatever it says to such decisions
            return None
        return whole if all(bool(each.isfinite().all()) for each in whole.values()) else None

    def _program(
        self, given: Given, batch: int, way: int, *, whole: int = 0, chunks: Sequence[int] = ()
    ) -> Tensors | None:
        """What it answers to the whole of so many steps, or to chunks; None where it fails."""
        states = {**self._reference.subject.start(given, batch), **given.states}
        try:
            with self._otherwise(given, way):
                if chunks:
                    return self._stepper.run_chunks(given.inputs, states, chunks).all()
                return self._stepper.run_whole(given.inputs, states, whole).all()
        except RunFailed:
            return None

    def _otherwise(self, given: Given, way: int) -> Otherwise:
        counts = [each.name for each in self._stepper.spec.inputs if each.counts_steps]
        lengths = [given.inputs[name] for name in counts]
        return Otherwise(way, lengths, gates=way >= 0 and self._look.shut)

    def _same(self, wanted: Tensors, found: Tensors) -> bool:
        expected = only(wanted, found)
        tolerance = self._reference.subject.tolerance
        return tolerance.compare(expected, only(found, expected), Scale.SMALL).passes
