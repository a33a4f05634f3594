"""The served program beside the file as it came: sizes, rows alone, frames, chunks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from carousel.export.compare import Difference
from carousel.export.errors import ExportRefused
from carousel.export.importing.bounds import compare
from carousel.export.importing.draws import Draws
from carousel.export.importing.faults import RunFailed, fault
from carousel.export.importing.neighbours import ROWS, Neighbours
from carousel.export.importing.proofs import foreseen
from carousel.export.importing.scales import compare_small
from carousel.export.importing.settle import Settled
from carousel.export.importing.stepper import Stepper
from carousel.export.programs import Tensors
from carousel.export.sampling import take_rows
from carousel.export.verify import BATCHES, TIMES
from carousel.models.manifest import ParityCase, ProgramKind
from carousel.models.spec import ModelSpec, Streaming

_FRAMES = 7
_CHUNKED = (7, 100)
_ANYWHERE = 3  # so many rows start anywhere, other sizes where a session starts


@dataclass(slots=True)
class Measured:
    """Every comparison, what the file did not accept, and the streaming kind."""

    cases: list[ParityCase] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    streaming: Streaming = "none"
    reason: str | None = None


class Meter:
    """Compares `served` with the settled model."""

    def __init__(self, kind: ProgramKind, settled: Settled, served: Stepper) -> None:
        self._kind = kind
        self._original = settled.stepper
        self._served = served
        self._draws: Draws = settled.draws
        self._spec: ModelSpec = settled.spec
        self._measured = Measured(skipped=list(settled.notes))

    def __repr__(self) -> str:
        return f"<Meter {self._kind} cases={len(self._measured.cases)}>"

    def measure(self) -> Measured:
        """All of it; raises ExportRefused where the program does not equal the file."""
        for batch in BATCHES if self._spec.has_batch else (0,):
            for time in TIMES if self._spec.has_time else (0,):
                self._whole(batch, time)
        if not self._measured.cases:
            raise ExportRefused(
                "the model runs at no size that is tried", "state its axes with --input"
            )
        self._sizes()
        if self._spec.has_batch:
            self._rows()
        if self._spec.is_framed:
            self._frames()
            self._measured.streaming = "step"
        elif self._spec.states:
            self._chunks()
        else:
            self._measured.reason = "the model keeps no state"
        return self._measured

    def _whole(self, batch: int, time: int) -> None:
        inputs = self._draws.inputs(self._spec, batch, time, 1000 * batch + time)
        states = self._states(batch, time)
        try:
            expected = self._original.run(inputs, states)
        except Exception as error:  # whatever the runtime says to a size that it does not take
            said = f"B={max(batch, 1)} T={max(time, 1)}: {fault(error)}"
            self._measured.skipped.append(f"not accepted by the file: {said}")
            return
        found = self._served.run(inputs, states)
        both = compare(
            self._spec, [expected.outputs, expected.states], [found.outputs, found.states]
        )
        self._add("whole", batch, time, both)

    def _sizes(self) -> None:
        """What the spec says of outputs, whatever values come in: else no answer has a shape."""
        batch = ROWS if self._spec.has_batch else 0
        time = self._some_time() if self._spec.has_time else 0
        usual = Neighbours.draw(self._spec, self._draws, time, 81, batch)
        for given in (usual, *usual.unusual(self._spec, self._draws, batch)):
            try:
                found = self._original.run(given.inputs, given.states).outputs
            except RunFailed:  # whatever the runtime says to unusual values
                continue
            for each in self._spec.outputs:
                shape, wanted = tuple(found[each.name].shape), each.model_shape(batch, time)
                if shape != wanted or 0 in shape:
                    raise ExportRefused(
                        f"the size of the output {each.name} depends on values: {shape} for some "
                        f"inputs, and the axes are {each.axes}",
                        "leave it out: name the outputs that are served with --output",
                    )

    def _rows(self) -> None:
        """A full batch beside rows of it alone."""
        batch = max(BATCHES)
        time = self._some_time() if self._spec.has_time else 0
        inputs = self._draws.inputs(self._spec, batch, time, 51)
        states = self._draws.states(self._spec, batch, 52)
        found = self._served.run(inputs, states)
        for row in (0, batch // 2, batch - 1):
            alone = self._original.run(*self._alone(inputs, states, row))
            outputs, after = _cut(self._spec, found.outputs, found.states, row)
            both = compare_small(self._spec, [alone.outputs, alone.states], [outputs, after])
            self._add("rows", batch, time, both)

    def _frames(self) -> None:
        """Frames of several sessions in one run each, beside each session alone."""
        batch = 3 if self._spec.has_batch else 0
        frames = [self._draws.inputs(self._spec, batch, 0, 60 + step) for step in range(_FRAMES)]
        states = self._states(batch, 1)
        found = self._served.run_frames(frames, states)
        for row in range(max(batch, 1)):
            pieces = [self._alone(frame, states, row) for frame in frames]
            alone = self._original.run_frames([frame for frame, _ in pieces], pieces[0][1])
            for expected, actual in zip(alone, found, strict=True):
                outputs, after = _cut(self._spec, actual.outputs, actual.states, row)
                both = compare_small(
                    self._spec, [expected.outputs, expected.states], [outputs, after]
                )
                self._add("frames", batch, 1, both)

    def _chunks(self) -> None:
        reason = self._seam()
        ran = {case.time for case in self._measured.cases if case.check.startswith("chunks")}
        if reason is None and not ran:
            reason = "the model takes no sequence of more than one step"
        for time in sorted(ran):
            seen = foreseen(self._served, self._draws, time)
            reason = reason or (None if seen.passes else seen.text)
        self._measured.reason = reason
        if reason is None:
            sequence = any(each.per == "sequence" for each in self._spec.outputs)
            self._measured.streaming = "last" if sequence else "step"

    def _seam(self) -> str | None:
        """How chunks differ from the whole; None if they do not."""
        batch = 3 if self._spec.has_batch else 0
        for time, check, chunks in _chunkings():
            inputs = self._draws.inputs(self._spec, batch, time, 70)
            states = self._states(batch, time)
            try:
                whole = self._original.run(inputs, states)
                found = self._served.run_chunks(inputs, states, chunks)
            except Exception as error:  # whatever the runtime says to a chunk or a length
                self._measured.skipped.append(f"{check} at T={time}: {fault(error)}")
                continue
            both = compare_small(
                self._spec, [whole.outputs, whole.states], [found.outputs, found.states]
            )
            if not both.passes:
                return f"chunks differ from the whole ({check} at T={time}: error {both.error:.1e})"
            self._add(check, batch, time, both)
        return None

    def _states(self, batch: int, time: int) -> Tensors:
        if batch == _ANYWHERE:
            return self._draws.states(self._spec, batch, time)
        return {each.name: self._draws.start(each, each.fold, batch) for each in self._spec.states}

    def _alone(self, inputs: Tensors, states: Tensors, row: int) -> tuple[Tensors, Tensors]:
        if not self._spec.has_batch:
            return inputs, states
        axes = {each.name: each.axes for each in self._spec.inputs}
        own = {name: take_rows(each, axes[name], (row,)) for name, each in inputs.items()}
        return own, _cut(self._spec, {}, states, row)[1]

    def _some_time(self) -> int:
        """A length that runs: a moderate one, if there is a choice."""
        times = sorted({case.time for case in self._measured.cases})
        return next((time for time in times if time >= _FRAMES), times[-1])

    def _add(self, check: str, batch: int, time: int, found: Difference) -> None:
        if not found.passes:
            raise ExportRefused(
                f"the program that would be served is {found.error:.1e} off the file, where "
                f"{found.bound:.1e} is allowed ({check} at B={max(batch, 1)} T={max(time, 1)})",
                "say --no-batch if it is its rows that depend on each other",
            )
        self._measured.cases.append(
            ParityCase(
                program=self._kind,
                check=check,
                batch=max(batch, 1),
                time=max(time, 1),
                error=found.error,
                bound=found.bound,
            )
        )


def _chunkings() -> Iterator[tuple[int, str, list[int]]]:
    for time in _CHUNKED:
        yield time, "chunks 1", [1] * time
        yield time, "chunks T-1|1", [time - 1, 1]


def _cut(spec: ModelSpec, outputs: Tensors, states: Tensors, row: int) -> tuple[Tensors, Tensors]:
    """One row of what a run gave."""
    own: Tensors = {
        each.name: take_rows(outputs[each.name], each.axes, (row,))
        for each in spec.outputs
        if each.name in outputs
    }
    after: dict[str, torch.Tensor] = {
        each.name: take_rows(states[each.name], each.axes, (row,), each.fold)
        for each in spec.states
    }
    return own, after
