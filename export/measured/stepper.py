"""A program run as a session runs it: constants filled in, context in front, states handed on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from carousel.export.measured.sampling import take_steps
from carousel.export.programs.faults import RunFailed
from carousel.export.programs.runtime import Call, Tensors
from carousel.models.spec import InputSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave: outputs by name, and every state's new value by the state's name."""

    outputs: Tensors
    states: Tensors

    def all(self) -> Tensors:
        """Outputs and states in one; a state's name is marked, an output may have the same."""
        return {**self.outputs, **{f"state {name}": each for name, each in self.states.items()}}


class Stepper:
    """Runs `call`, which knows tensors by the names that the program has for them.

    `lengths` is what the program calls the lengths of its rows, None where it takes none.
    """

    def __init__(self, spec: ModelSpec, call: Call, lengths: str | None = None) -> None:
        self.spec = spec
        self.lengths = lengths
        self._call = call

    def __repr__(self) -> str:
        return f"<Stepper {[each.name for each in self.spec.states]}>"

    def run(self, inputs: Tensors, states: Tensors, lengths: torch.Tensor | None = None) -> Result:
        """One run: outputs, and every state's new value; fixed ones are handed through.

        Without `lengths` every row has all the time steps. Raises RunFailed where the runtime
        fails.
        """
        contexts = {each.context_of: each.name for each in self.spec.states}
        given = dict(inputs)
        after = {each.name: states[each.name] for each in self.spec.states}
        for each in self.spec.inputs:
            if each.context:
                name = contexts[each.name]
                given[each.name], after[name] = _join(each, states[name], inputs[each.name])
        given |= {each.name: states[each.name] for each in self.spec.program_states}
        if self.lengths is not None:
            given[self.lengths] = self._full(inputs) if lengths is None else lengths
        try:
            found = self._call(given)
        except RunFailed:
            raise
        except Exception as error:  # whatever the runtime says to these values
            raise RunFailed(error) from error
        outputs = {each.name: found[each.name] for each in self.spec.outputs}
        for state in self.spec.states:
            if state.output is not None:
                after[state.name] = found[state.output]
        return Result(outputs, after)

    def run_whole(self, inputs: Tensors, states: Tensors, time: int) -> Result:
        """The whole sequence as it will be served: at once, or `run_steps` at a time."""
        if self.spec.run_steps is None or not time:
            return self.run(inputs, states)
        return self.run_chunks(inputs, states, [self.spec.run_steps] * time)

    def run_chunks(
        self,
        inputs: Tensors,
        states: Tensors,
        chunks: Sequence[int],
        hand_on: Mapping[str, str] | None = None,
        reset: Sequence[str] = (),
    ) -> Result:
        """Time steps in `chunks`, outputs joined.

        `hand_on`: whose new value each state gets, where not its own; `reset`: states that start
        anew at every chunk.
        """
        axes = {each.name: each.axes for each in self.spec.inputs}
        parts: list[Tensors] = []
        start, now = 0, states
        for chunk in chunks:
            piece = {
                name: take_steps(each, axes[name], start, start + chunk)
                for name, each in inputs.items()
            }
            for given in self.spec.inputs:
                if given.counts_steps:
                    piece[given.name] = torch.full_like(piece[given.name], chunk)
            result = self.run(piece, now)
            parts.append(result.outputs)
            now = _handed(result.states, states, hand_on or {}, reset)
            start += chunk
        joined = {
            each.name: _joined(each.time_axis, each.name, parts) for each in self.spec.outputs
        }
        return Result(joined, now)

    def run_frames(
        self, frames: Sequence[Tensors], states: Tensors, reset: Sequence[str] = ()
    ) -> list[Result]:
        """One run after the other; what each gave."""
        found: list[Result] = []
        now = states
        for frame in frames:
            found.append(self.run(frame, now))
            now = _handed(found[-1].states, states, {}, reset)
        return found

    def _full(self, inputs: Tensors) -> torch.Tensor:
        timed = next(each for each in self.spec.inputs if each.time_axis is not None)
        shape = inputs[timed.name].shape
        assert timed.time_axis is not None
        rows = 1 if timed.batch_axis is None else shape[timed.batch_axis]
        return torch.full((rows,), shape[timed.time_axis], dtype=torch.int32)


def _handed(
    after: Tensors, start: Tensors, hand_on: Mapping[str, str], reset: Sequence[str]
) -> Tensors:
    return {
        name: start[name] if name in reset else after[hand_on.get(name, name)] for name in after
    }


def _joined(axis: int | None, name: str, parts: Sequence[Tensors]) -> torch.Tensor:
    if axis is None:
        return parts[-1][name]
    return torch.cat([each[name] for each in parts], dim=axis)


def _join(
    spec: InputSpec, kept: torch.Tensor, new: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the program sees, and what is kept of it."""
    axis, time = spec.context_axis, spec.time_axis
    assert axis is not None, f"{spec.name} keeps no context"
    if time is None or time == axis:
        seen = torch.cat([kept, new], axis)
        return seen, _last(seen, axis, spec.context)
    # Along another axis each time step has the end of the one before in front.
    ends = torch.cat([kept.unsqueeze(time), _last(new, axis, spec.context)], time)
    seen = torch.cat([ends.narrow(time, 0, new.shape[time]), new], axis)
    return seen, ends.select(time, new.shape[time]).clone()


def _last(tensor: torch.Tensor, axis: int, count: int) -> torch.Tensor:
    return tensor.narrow(axis, tensor.shape[axis] - count, count).clone()
