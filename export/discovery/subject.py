"""A module as the source of expected values: run as it is, its tensors by the names of the spec."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from carousel.export.artifact.identity import state_id
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.state import States, StateVar, final
from carousel.export.errors import ExportRefused, MixesSessions, told
from carousel.export.measured.sampling import noise_like, take_steps
from carousel.export.measured.stepper import Result
from carousel.export.measured.subject import Given, NotAccepted
from carousel.export.measured.tolerance import Tensors, Tolerance
from carousel.export.module.original import Observation, Original
from carousel.models.spec import BATCH, ModelSpec

_TIME = 4
_WAYS_OUT = {
    "shape": "name the axis where forward drops one, squeeze(-1) instead of squeeze(), and "
    "answer sequences of every length alike (x[:, -5:] of 3 steps has only 3)",
    "finite": "mend what makes NaN or infinity, or give an example within the model's range",
    "values": "answer with tensors whose sizes follow those of the inputs",
    "rows": "let no row look at others, or export one row: an example of one, and 1 in place of "
    "'batch' in `axes`",
    "together": "lay the rows of a session side by side (torch.stack([a, b], 1).flatten(0, 1) "
    "instead of torch.cat([a, b]), and no sorting of rows), or export one row: an example of one, "
    "and 1 in place of 'batch' in `axes`",
    "parity": "report this with the module, it is a fault of the exporter",
}


@dataclass(slots=True)
class ModuleSubject:
    """Runs the original; `outputs` maps its output tensors to the names in `spec`. `owner` is the
    module that the caller gave, whose weights name the states.
    """

    owner: nn.Module
    original: Original
    layout: Layout
    found: States
    spec: ModelSpec
    outputs: Mapping[str, str]
    tolerance: Tolerance
    noun: str = "original"
    must_be_finite: bool = True
    marks: Collection[float] = ()

    @property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """The values that integer inputs may have."""
        return self.layout.sampler.spans

    @property
    def states(self) -> tuple[StateVar, ...]:
        """What a session keeps."""
        return self.found.variables

    @property
    def starts_anywhere(self) -> bool:
        """Whether forward takes every state: those inside its layers it starts by itself."""
        return all(each.argument is not None for each in self.states)

    def num_weights(self) -> int:
        """The module's parameters."""
        return sum(each.numel() for each in self.owner.parameters())

    def draw(self, batch: int, time: int, seed: int, *, anywhere: bool = False) -> Given:
        """Inputs drawn from the example's own values, and the states that go with them."""
        values = self.layout.sampler.draw(batch, time, seed)
        states = {
            each.name: values[each.argument]
            for each in self.states
            if each.fixed and each.argument is not None
        }
        if anywhere:
            states |= self.random_states(batch, seed)
        return Given({each.name: values[each.name] for each in self.spec.inputs}, states)

    def start(self, given: Given, batch: int) -> Tensors:
        """Where sessions start, in model layout; what never changes as it is given."""
        return {
            each.name: given.states[each.name] if each.fixed else self.initial(each, batch)
            for each in self.states
        }

    def run(self, given: Given) -> Result:
        """The untouched module; raises NotAccepted where forward fails."""
        values, omit = self._arguments(given)
        try:
            return self._result(self.original.run(values, omit))
        except Exception as error:  # whatever the user's code says to a size it does not take
            raise NotAccepted(told(error)) from error

    def after(self, given: Given, batch: int, result: Result) -> Tensors:
        """What a run tells; of states that forward's own code hides, what stepping it leaves."""
        step = self.found.step
        if step is None:
            return result.states
        start = self.start(given, batch)
        states = [start[each.name] for each in self.states]
        timed = next(each for each in self.spec.inputs if each.time_axis is not None)
        for index in range(given.inputs[timed.name].shape[timed.time_axis or 0]):
            part = [
                take_steps(given.inputs[each.name], each.axes, index, index + 1)
                for each in self.spec.inputs
            ]
            with self.original.restored():
                found = step(*part, *states)
                states = [each.detach().clone() for each in found[-len(states) :]]
        return {each.name: state for each, state in zip(self.states, states, strict=True)}

    def exact(self, given: Given) -> Result | None:
        """The same run in float64, where the module has one."""
        values, omit = self._arguments(given)
        try:
            return self._result(self.original.run(values, omit, exact=True))
        except Exception:  # forward makes numbers of one precision by itself
            return None

    def never_streams(self) -> str | None:
        """A state that comes from the end of one window and goes to the start of another."""
        for window in self.found.windows:
            if window.bidirectional and window.fed:
                return _both_ends(window.path)
        return None

    def explain(self, measured: str) -> str:
        """Why chunks differ from the whole, in the words of who made the module."""
        layers = dict(self.original.module.named_modules())
        for path in self.layout.probes[0].seen.calls.layers:
            if getattr(layers[path], "bidirectional", False):
                return _both_ends(path)
        if self.found.computed:
            return f"the initial state of {self.found.computed[0]} is computed from the input"
        if self.found.several and not self.states:
            return (
                f"the layer {self.found.several[0]!r} is called several times in every call of "
                "forward, and starts anew in each. To carry its state, take it as an argument of "
                "forward and return its new value"
            )
        if self.found.windows and not self.states:
            window = self.found.windows[0]
            return (
                f"the layer {window.path!r} runs {window.steps} steps in every call of forward, "
                "from zeros: a window of fixed length. To carry its state over windows that follow "
                "each other, take it as an argument of forward and return its new value"
            )
        return measured

    def settled_states(self, batch: int) -> Tensors:
        """Anywhere that forward may be given them."""
        return self.random_states(batch, seed=2)

    def lengths_that_run(self) -> Sequence[int]:
        """Four steps (one of a loop), or what the example has."""
        return (self.spec.run_steps or _TIME, *(each.time for each in self.layout.probes))

    def initial_values(self) -> Tensors:
        """What layers start from that learn their start."""
        return {each.name: each.initial for each in self.states if each.initial is not None}

    def state_id(self) -> str:
        """A hash of the module's weights and the states' spec."""
        changed = self.layout.probes[0].seen.changed
        return state_id(self.owner, self.spec, changed)

    def origins(self) -> dict[str, str]:
        """The layer that hid a state, or the parameter of forward, and where it starts."""
        layers = dict(self.original.module.named_modules())
        return {each.name: _origin(each, layers) for each in self.states}

    def tools(self) -> Mapping[str, str]:
        """Nothing beyond what every export says."""
        return {}

    def refusal(self, what: str, reason: str) -> ExportRefused:
        """Why the module cannot be served."""
        kind = MixesSessions if what == "together" else ExportRefused
        return kind(reason, _WAYS_OUT[what])

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
                example = self.layout.sampler.example.get(state.argument)
                positive = example is not None and bool((example > 0).all())
                like = torch.ones_like(zeros) if positive else zeros
                found[state.name] = noise_like(like, generator)
        return found

    def _arguments(self, given: Given) -> tuple[Tensors, frozenset[str]]:
        """What forward is given, and which parameters it is not: its own start is then its own."""
        values, omit = dict(given.inputs), set(self.original.omit)
        batch = self._batch(given)
        for state in self.states:
            if state.argument is None:
                continue
            parameter = state.argument.split(".", 1)[0]
            if state.name in given.states:
                values[state.argument] = given.states[state.name]
                omit.discard(parameter)
            elif parameter not in omit:
                values[state.argument] = self.initial(state, batch)
        lengths = self.layout.sampler.lengths
        if lengths is not None:
            timed = next(each for each in self.spec.inputs if each.time_axis is not None)
            assert timed.time_axis is not None
            steps = given.inputs[timed.name].shape[timed.time_axis]
            dtype = self.layout.sampler.example[lengths].dtype
            values[lengths] = torch.full((max(batch, 1),), steps, dtype=dtype)
        return values, frozenset(omit)

    def _batch(self, given: Given) -> int:
        """The rows of a run, 0 where it has no such axis."""
        for each in self.spec.inputs:
            if each.batch_axis is not None:
                return given.inputs[each.name].shape[each.batch_axis]
        return 0

    def _result(self, seen: Observation) -> Result:
        outputs = {name: seen.outputs[leaf].contiguous() for leaf, name in self.outputs.items()}
        return Result(
            outputs, {each.name: final(each, seen) for each in self.states if each.is_told}
        )


def _both_ends(path: str) -> str:
    name = f"the layer {path} is" if path else "it is"
    return f"{name} bidirectional: it reads a sequence from both ends"


def _origin(state: StateVar, layers: Mapping[str, nn.Module]) -> str:
    start = "zeros" if state.initial is None else "a value of the module's own"
    if state.argument is not None:
        back = "" if state.output is None else f", returned as {state.output}"
        start = "what is given" if state.fixed else start
        return f"forward's {state.argument}{back}; starts at {start}"
    if state.layer is None:
        return f"{state.name}, kept by forward's own code; starts at {start}"
    part = "hc"[state.part]
    layer = layers.get(state.layer)
    called = f"{state.layer!r} " if state.layer else ""
    return f"{part} of {called}({type(layer).__name__}), hidden in forward; starts at {start}"
