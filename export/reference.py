"""Expected values: the untouched module at any size, each size run once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from carousel.export.errors import ExportRefused, first_line
from carousel.export.layout import Layout
from carousel.export.original import Original
from carousel.export.programs import Tensors
from carousel.export.sampling import take_steps
from carousel.export.states import StateVar, final
from carousel.models.spec import BATCH, ModelSpec


class NotAccepted(Exception):
    """The original does not take inputs of this size; the message is its own."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What goes into a program, and what the original made of it."""

    batch: int
    time: int
    inputs: Tensors
    states: Tensors
    outputs: Tensors
    finals: Tensors


@dataclass(slots=True)
class Reference:
    """Runs the original; `outputs` maps its output tensors to the names in `spec`."""

    original: Original
    layout: Layout
    states: tuple[StateVar, ...]
    spec: ModelSpec
    outputs: Mapping[str, str]
    skipped: list[str] = field(default_factory=list)
    _known: dict[tuple[int, int, int], Expected | None] = field(default_factory=dict)

    def at(self, batch: int, time: int, draw: int = 0) -> Expected | None:
        """The original at this size; None where it does not accept it (listed in `skipped`).

        `draw` counts different inputs of one size.
        """
        key = batch, time, draw
        if key not in self._known:
            self._known[key] = self._run(*key)
        return self._known[key]

    def run(self, values: Tensors, states: Tensors, batch: int, time: int) -> Expected:
        """The original on `values`, its explicit states given by name (none: its own start).

        Raises NotAccepted where forward fails.
        """
        given, omit = self._arguments(values, states, batch)
        try:
            seen = self.original.run(given, omit)
        except Exception as error:  # whatever the user's code says to a size it does not take
            raise NotAccepted(first_line(error)) from error
        outputs = {name: seen.outputs[leaf].contiguous() for leaf, name in self.outputs.items()}
        start = {s.name: states.get(s.name, self.start(s, values, batch)) for s in self.states}
        finals = {each.name: final(each, seen) for each in self.states if not each.fixed}
        inputs = {each.name: values[each.name] for each in self.spec.inputs}
        return Expected(batch, time, inputs, start, outputs, finals)

    def _arguments(
        self, values: Tensors, states: Tensors, batch: int
    ) -> tuple[Tensors, frozenset[str]]:
        """What forward is given, and which parameters it is not."""
        given, omit = dict(values), set(self.original.omit)
        for state in self.states:
            if state.argument is None:
                continue
            parameter = state.argument.split(".", 1)[0]
            if state.name in states:
                given[state.argument] = states[state.name]
                omit.discard(parameter)
            elif parameter not in omit:
                given[state.argument] = self.start(state, values, batch)
        return given, frozenset(omit)

    def row(self, values: Tensors, index: int, length: int) -> Expected:
        """The original on the first `length` steps of row `index`, alone."""
        sampler = self.layout.sampler
        alone = {
            name: take_steps(each, sampler.axes[name], 0, length)
            for name, each in sampler.rows(values, (index,)).items()
        }
        if sampler.lengths is not None:
            alone[sampler.lengths] = torch.full_like(alone[sampler.lengths], length)
        return self.run(alone, {}, 1, length)

    def start(self, state: StateVar, values: Tensors, batch: int) -> torch.Tensor:
        """Where a run on `values` starts: what never changes is drawn with them."""
        if state.fixed:
            assert state.argument is not None
            return values[state.argument]
        return self.initial(state, batch)

    def initial(self, state: StateVar, batch: int) -> torch.Tensor:
        """Where `batch` sessions start, in model layout."""
        rows = max(batch, 1) * state.fold
        shape = [rows if axis == BATCH else int(axis) for axis in state.axes]
        if state.initial is None:
            return torch.zeros(shape, dtype=state.dtype)
        if BATCH not in state.axes:
            return state.initial.clone()
        place = state.axes.index(BATCH)
        one = state.initial if state.fold > 1 else state.initial.unsqueeze(place)
        return torch.cat([one] * max(batch, 1), dim=place)

    def random_states(self, batch: int, seed: int) -> Tensors:
        """Small random numbers for the states that the original takes and changes."""
        generator = torch.Generator().manual_seed(seed)
        found: Tensors = {}
        for state in self.states:
            if state.fixed:
                continue
            zeros = self.initial(state, batch)
            if state.argument is not None and zeros.is_floating_point():
                noise = torch.randn(zeros.shape, generator=generator)
                found[state.name] = 0.5 * noise.to(zeros.dtype)
        return found

    def _run(self, batch: int, time: int, draw: int) -> Expected | None:
        values = self.layout.sampler.draw(batch, time, seed=1000 * batch + time + 10**6 * draw)
        # Three rows start anywhere, the other sizes where the module itself starts.
        states = self.random_states(batch, time) if batch == 3 else {}
        try:
            expected = self.run(values, states, batch, time)
        except NotAccepted as error:
            if draw == 0:
                self.skipped.append(f"B={max(batch, 1)} T={max(time, 1)}: {error}")
            return None
        self._check(expected)
        return expected

    def _check(self, expected: Expected) -> None:
        for spec in self.spec.outputs:
            output = expected.outputs[spec.name]
            wanted = spec.model_shape(expected.batch, expected.time)
            if tuple(output.shape) != wanted:
                raise ExportRefused(
                    f"the output {spec.name} is {tuple(output.shape)} at B={expected.batch} "
                    f"T={expected.time}, where {wanted} was expected: it loses, merges or cuts an "
                    "axis",
                    "name the axis where forward drops one, squeeze(-1) instead of squeeze(), and "
                    "answer sequences of every length alike (x[:, -5:] of 3 steps has only 3)",
                )
            if output.is_floating_point() and not bool(torch.isfinite(output).all()):
                raise ExportRefused(
                    f"the output {spec.name} is not finite at B={expected.batch} T={expected.time}",
                    "mend what makes NaN or infinity, or give an example within the model's range",
                )
