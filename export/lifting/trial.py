"""Runs for the lifter: the original as it is, written down, and one step at a time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from carousel.export.discovery.layout import Layout
from carousel.export.lifting.candidates import same
from carousel.export.lifting.plan import Plan
from carousel.export.lifting.recording import Recorder, Recording
from carousel.export.lifting.scripted import watching
from carousel.export.lifting.sites import Key, given
from carousel.export.lifting.step import END, UNFIT, Lengths, Step, Tensors, run_forward, tensors_of
from carousel.export.measured.sampling import take_steps
from carousel.export.module.original import Original
from carousel.export.module.tree import flatten
from carousel.models.spec import BATCH, TIME

LOUD = 20  # times as large as the example
_EACH = 12  # lengths from the first on at which the whole is run, and the distance of later ones


class Trial:
    """The original over sequences of its layout; everything is put back after every run."""

    def __init__(self, original: Original, layout: Layout) -> None:
        self._original = original
        self._layout = layout
        self._axes = layout.sampler.axes
        self._lengths = layout.sampler.lengths
        self.inputs = {
            name: axes.index(TIME) if TIME in axes else None
            for name, axes in self._axes.items()
            if name != self._lengths
        }
        self.outputs = {
            name: each.axes.index(TIME) if TIME in each.axes else None
            for name, each in layout.outputs.items()
        }

    def __repr__(self) -> str:
        return f"<Trial {self._original!r}>"

    def draw(self, batch: int, time: int, seed: int, *, loud: bool = False) -> Tensors:
        """Inputs of `batch` rows and `time` steps, in the precision of the module."""
        values = self._layout.sampler.draw(batch, time, seed)
        dtype = torch.get_default_dtype()
        return {
            name: each.to(dtype) * (LOUD if loud else 1)
            if each.dtype in (torch.float32, torch.float64)
            else each
            for name, each in values.items()
        }

    def part(self, values: Tensors, start: int, end: int) -> Tensors:
        """The time steps from `start` to before `end`."""
        return {
            name: torch.full_like(each, end - start)
            if name == self._lengths
            else take_steps(each, self._axes[name], start, end)
            for name, each in values.items()
        }

    def joined(self, parts: Sequence[Tensors]) -> Tensors:
        """The time steps of all of them."""
        found = {
            name: parts[0][name]
            if axis is None
            else torch.cat([each[name] for each in parts], axis)
            for name, axis in self.inputs.items()
        }
        if self._lengths is not None:
            found[self._lengths] = torch.stack([each[self._lengths] for each in parts]).sum(0)
        return found

    def whole(self, values: Tensors) -> Tensors:
        """What the original answers; raises whatever its forward raises."""
        return self.in_turn([values])[0]

    def in_turn(self, several: Sequence[Tensors]) -> list[Tensors]:
        """What the original answers to one after the other, nothing put back in between."""
        found: list[Tensors] = []
        with self._original.restored():
            for values in several:
                call = self._original.signature.call(_copies(values), self._original.omit)
                outputs = flatten(run_forward(self._original.module, call), "output")
                found.append({name: outputs[name].detach().clone() for name in self.outputs})
        return found

    def record(self, values: Tensors, wanted: Collection[Key] = ()) -> Recording:
        """The same run written down."""
        with self._original.restored():
            mine = _copies(values)
            call = self._original.signature.call(mine, self._original.omit)
            held = tensors_of(self._original.module, self._original.plain_tensors())
            tensors: Tensors = {**dict(self._original.module.named_parameters())}
            tensors |= dict(self._original.plain_tensors())
            known = {id(each): (held[id(each)], each) for each in tensors.values()}
            known |= {id(each): (given(name), each) for name, each in mine.items()}
            recorder = Recorder(known, END, wanted)
            with watching(recorder), self._original.settled():
                tree = run_forward(self._original.module, call)
            found = flatten(tree, "output")
            recorder.recording.outputs = {name: found[name].detach() for name in self.outputs}
            return recorder.recording

    def step(self, plan: Plan, complexes: Collection[int] = ()) -> Step:
        """One step by this plan; `complexes` are the places of states that are complex numbers."""
        rows = {
            name: each.axes.index(BATCH) if BATCH in each.axes else None
            for name, each in self._layout.outputs.items()
        }
        lengths = None
        if self._lengths is not None:
            source = next(name for name, axis in self.inputs.items() if axis is not None)
            dtype = self._layout.sampler.example[self._lengths].dtype
            lengths = Lengths(self._lengths, dtype, source, self._axes[source].index(BATCH))
        return Step(self._original, plan, self.inputs, self.outputs, rows, lengths, complexes)

    def stream(
        self, plan: Plan, values: Tensors, start: tuple[torch.Tensor, ...], steps: int
    ) -> Iterator[Tensors]:
        """What each step answers; raises whatever a step raises."""
        step, states = self.step(plan), start
        for index in range(steps):
            found, states = self.advance(step, self.part(values, index, index + 1), states)
            yield found

    def advance(
        self, step: Step, values: Tensors, states: Sequence[torch.Tensor]
    ) -> tuple[Tensors, tuple[torch.Tensor, ...]]:
        """What one step answers, and the states after it."""
        with self._original.restored():
            found, after = step.run(_copies(values), [each.clone() for each in states])
            outputs = {name: found[name].detach().clone() for name in self.outputs}
            return outputs, tuple(each.detach().clone() for each in after)

    def rows(self, values: Tensors, index: int) -> Tensors:
        """One row of the inputs."""
        return self._layout.sampler.rows(values, [index])

    def row_of(self, name: str, output: torch.Tensor, index: int) -> torch.Tensor:
        """One row of an output."""
        return output.narrow(self._layout.outputs[name].axes.index(BATCH), index, 1)

    def expected(self, values: Tensors, steps: int) -> list[Tensors]:
        """What the original says to each step; of what belongs to the whole, at some lengths."""
        whole = self.whole(self.part(values, 0, steps))
        found = [
            {
                name: whole[name].narrow(axis, index, 1)
                for name, axis in self.outputs.items()
                if axis is not None
            }
            for index in range(steps)
        ]
        if None in self.outputs.values():
            for index in (*range(min(steps, _EACH)), *range(_EACH, steps, _EACH), steps - 1):
                found[index] = {**self.whole(self.part(values, 0, index + 1)), **found[index]}
        return found

    def holds(
        self,
        plan: Plan,
        values: Tensors,
        start: tuple[torch.Tensor, ...],
        expected: list[Tensors],
    ) -> bool:
        """Whether step by step it answers what the original answers to the whole."""
        try:
            for wanted, found in zip(
                expected, self.stream(plan, values, start, len(expected)), strict=True
            ):
                if not all(same(wanted[name], found[name]) for name in wanted):
                    return False
        except UNFIT:  # what forward says to a state that is none, or a state that it did not make
            return False
        return True

    @property
    def compares_plainly(self) -> bool:
        """Whether comparisons may come out otherwise for the whole and for steps alike: no input
        says how long each row is, and Python decides by none of them.
        """
        return self._lengths is None and not self._original.answers

    @contextmanager
    def precise(self) -> Iterator[None]:
        """Within it the module and all that is drawn are in float64."""
        with self._original.doubled():
            yield


def _copies(values: Mapping[str, torch.Tensor]) -> Tensors:
    return {name: each.clone() for name, each in values.items()}
