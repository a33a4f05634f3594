"""A program beside the subject: sizes, rows alone, frames, chunks, padded batches."""

import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from carousel.export.measured import ends, lengths, settings, streaming
from carousel.export.measured.cases import Cases, FallsShort, flat
from carousel.export.measured.company import BATCH, check_rows
from carousel.export.measured.long import check_long
from carousel.export.measured.loudness import check_loud
from carousel.export.measured.rows import (
    LOUDER,
    ROWS,
    added_rounding,
    places,
    take,
    unusual,
)
from carousel.export.measured.span import FAR, Span
from carousel.export.measured.subject import Expected, Given, NotAccepted, Reference, only, size
from carousel.export.measured.together import differ_together
from carousel.export.measured.tolerance import Scale, Tensors
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import fault
from carousel.export.threads import LARGE
from carousel.models.spec import ModelSpec, Streaming

BATCHES = (1, 3, BATCH)
TIMES = (1, 2, 7, 100)
_SMALL = 7  # sizes up to this many frames are drawn several times,
_DRAWS = 4  # so that a forward that branches on what it reads is seen taking the other way
_FRAMES = 7
_RUNS, _RUNS_S = 30, 0.1  # of one step, to tell how long it takes


@dataclass(slots=True)
class Measured:
    """Every comparison, the streaming kind with the reason of `none`, and the microseconds that one
    row of one step takes, None where it takes no single step.
    """

    cases: Cases
    step_us: float | None
    span: Span
    streaming: Streaming = "none"
    reason: str | None = None

    def told(self, spec: ModelSpec) -> ModelSpec:
        """The spec with what was measured."""
        return replace(
            spec,
            streaming=self.streaming,
            streaming_reason=self.reason,
            least_steps=self.span.least,
            most_steps=self.span.most,
        )


class Meter:
    """Compares one program with the subject that it was made from."""

    def __init__(
        self, candidate: Candidate, reference: Reference, tell: Callable[[str], None]
    ) -> None:
        self._tell = tell
        self._candidate = candidate
        self._reference = reference
        self._subject = reference.subject
        self._stepper = candidate.stepper
        self._spec = reference.subject.spec
        self._cases = Cases(candidate.kind)

    def __repr__(self) -> str:
        return f"<Meter {self._candidate.kind} {self._cases!r}>"

    def measure(self, *, wired: bool = False) -> Measured:
        """All of it; raises FallsShort where the program does not equal the subject.

        `wired`: the program was given lengths by the exporter, and is of no use unless padded
        batches are exact.
        """
        self._tell("rows of mixed lengths")
        padded = lengths.measure(self._candidate, self._reference)
        if wired and padded is None:
            raise FallsShort(f"{self._candidate.kind}: padded batches differ from rows alone")
        self._candidate.ragged = "exact" if padded is not None else "equal_length"
        self._whole(self._grid())
        self._unusual()
        if self._spec.has_batch:
            self._tell("rows alone and beside others")
            check_rows(self._candidate, self._reference, self._cases, self._some_time())
            seldom = self._candidate.seldom
            if seldom is not None and seldom.rows_differ:
                raise self._subject.refusal(
                    "rows",
                    "rows differ in company at events that the example does not have",
                )
        if self._spec.is_framed and self._subject.starts_anywhere:
            self._tell("frames one after the other")
            self._frames()
        span = Span()
        if self._spec.has_time:
            self._tell("the shortest and the longest sequence")
            span = Span.of(self._reference, self._times())
            span = span.far(self._reference, max(TIMES), self._reference.long)
        self._tell("chunks beside the whole")
        streams = streaming.measure(self._candidate, self._reference, span.least)
        if streams.kind != "none" and differ_together(self._stepper, self._reference):
            raise self._subject.refusal(
                "together",
                "sessions that began apart get each other's states in one run: the rows of one "
                "session do not stand side by side, or in the order of the batch",
            )
        for cases in (streams.cases, padded):
            if cases is not None:
                self._cases.merge(cases)
        if self._spec.has_time and streams.kind == "none":  # a stream may run in pieces
            span = span.far(self._reference, self._reference.long, FAR)
        self._far(span)
        if streams.kind == "none" or self._spec.is_framed:
            held = self._stepper, self._reference
            other = settings.whole_differs(*held) or ends.whole_differs(*held)
            if other is not None:
                raise FallsShort(f"{self._candidate.kind}: {other}")
        return Measured(self._cases, self._step_us(), span, streams.kind, streams.reason)

    def _far(self, span: Span) -> None:
        """The shortest, the longest, and a long sequence, in which rounding may add up."""
        batch = int(self._spec.has_batch)
        self._whole(self._reference.at(batch, time) for time in span.ends())
        if self._spec.has_time:
            check_long(self._candidate, self._reference, lambda each: self._whole([each]))

    def _whole(self, sizes: Iterable[Expected | None]) -> None:
        """Whole sequences of these sizes."""
        for expected in sizes:
            if expected is None:
                continue
            self._tell(f"whole sequences at {size(expected.batch, expected.time)}")
            try:
                result = self._stepper.run_whole(expected.inputs, expected.states, expected.time)
            except Exception as error:  # a runtime's own error: the program cannot do this size
                at = size(expected.batch, expected.time)
                raise FallsShort(f"{self._candidate.kind}: fails at {at}: {fault(error)}") from None
            tensors = expected.tensors()
            far = self._subject.tolerance.compare(
                tensors, only(result.all(), tensors), roundings=[expected.rounding]
            )
            self._cases.add("whole", expected.batch, expected.time, far)
        if not self._cases.all():
            refused = "; ".join(self._reference.skipped[:1])
            raise FallsShort(
                f"{self._candidate.kind}: the {self._subject.noun} accepts no size that is tried "
                f"({refused})"
            )

    def _times(self) -> tuple[int, ...]:
        """The lengths to try."""
        if not self._spec.has_time:
            return (0,)
        batch = int(self._spec.has_batch)
        if any(self._reference.at(batch, time) is not None for time in TIMES):
            return TIMES
        return tuple(sorted({*TIMES, *self._subject.lengths_that_run()}))

    def _grid(self) -> Iterator[Expected]:
        one = int(self._spec.has_batch)
        times = [time for time in self._times() if self._reference.at(one, time) is not None]
        for batch in BATCHES if self._spec.has_batch else (0,):
            for time in times:
                small = max(batch, 1) * max(time, 1) <= _SMALL
                small = small and self._subject.num_weights() < LARGE
                for draw in range(_DRAWS if small else 1):
                    expected = self._reference.at(batch, time, draw)
                    if expected is not None:
                        yield expected

    def _unusual(self) -> None:
        """What the spec says of outputs holds whatever values come in; the program is as loud."""
        batch = ROWS if self._spec.has_batch else 0
        time = self._some_time()
        usual = self._subject.draw(batch, time, 81, anywhere=True)
        crowds = unusual({**usual.inputs, **usual.states}, self._subject.spans)
        for words, values in crowds.items():
            given = Given(only(values, usual.inputs), only(values, usual.states))
            try:
                result = self._subject.run(given)
            except NotAccepted:  # whatever it says to unusual values
                continue
            for each in self._spec.outputs:
                shape = tuple(result.outputs[each.name].shape)
                if shape != each.model_shape(batch, each.num_steps(time)):
                    raise self._subject.refusal(
                        "values",
                        f"the size of the output {each.name} depends on values: {shape} for some "
                        f"inputs, and the axes are {each.axes}",
                    )
            if words == LOUDER:
                check_loud(self._candidate, self._reference.told(given, batch, time, result))

    def _frames(self) -> None:
        """Frames of several sessions in one run each, beside each session alone."""
        batch = ROWS if self._spec.has_batch else 0
        frames = [self._subject.draw(batch, 0, 60 + step).inputs for step in range(_FRAMES)]
        first = self._subject.draw(batch, 0, 1, anywhere=True)
        states = {**self._subject.start(first, batch), **first.states}
        found = self._stepper.run_frames(frames, states)
        before, after = places(self._spec)
        run = flat(self._stepper, 0)
        for row in range(max(batch, 1)):
            now, past = take(states, before, (row,)), list[Tensors]()
            for frame, result in zip(frames, found, strict=True):
                try:
                    one = Given(take(frame, before, (row,)), now)
                    alone = self._reference.run(one, 1, 0)
                except NotAccepted as error:
                    raise FallsShort(f"{self._candidate.kind}: frames: {error}") from None
                expected = alone.tensors()
                past.append({**take(frame, before, (row,)), **now})
                far = self._subject.tolerance.compare(
                    expected,
                    take(only(result.all(), expected), after, (row,)),
                    Scale.SMALL,
                    [alone.rounding, partial(added_rounding, run, before, after, past)],
                )
                self._cases.add("frames", batch, 1, far)
                now = {**now, **alone.result.states}

    def _step_us(self) -> float | None:
        expected = self._reference.at(int(self._spec.has_batch), int(self._spec.has_time))
        if expected is None:
            return None
        took: list[float] = []
        while len(took) < _RUNS and sum(took) < _RUNS_S:
            start = perf_counter()
            self._stepper.run(expected.inputs, expected.states)
            took.append(perf_counter() - start)
        return round(1e6 * statistics.median(took), 1)

    def _some_time(self) -> int:
        """A length that runs: a moderate one, if there is a choice."""
        if not self._spec.has_time:
            return 0
        times = sorted({each.time for each in self._cases.all() if each.check == "whole"})
        return next((time for time in times if time >= _FRAMES), times[-1])
