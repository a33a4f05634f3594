"""A forward with its hidden states explicit: one time step in, one out."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from carousel.export.errors import ForwardFailed
from carousel.export.lifting.plan import Plan, Substitution
from carousel.export.lifting.scans import SUMMING
from carousel.export.lifting.scripted import watching
from carousel.export.lifting.sites import Key, given, held
from carousel.export.module.original import Original
from carousel.export.module.signature import Call
from carousel.export.module.tree import Tree, flatten

Tensors = dict[str, torch.Tensor]


def called(module: nn.Module, call: Call) -> Tree:
    """Where every stack ends that tells a site."""
    return module(*call.args, **call.kwargs)


def run_forward(module: nn.Module, call: Call) -> Tree:
    """Call the user's module; raises ForwardFailed with whatever it raises."""
    try:
        return called(module, call)
    except Exception as error:  # whatever the user's code says to such values
        raise ForwardFailed(error) from error


END = called.__code__
UNFIT = (ForwardFailed, LookupError, RuntimeError)  # of values that do not fit each other


def tensors_of(module: nn.Module, others: Sequence[tuple[str, torch.Tensor]]) -> dict[int, Key]:
    """The keys of the weights and other tensors of a module, by identity."""
    named = {**dict(module.named_parameters()), **dict(others)}
    return {id(each): held(name) for name, each in named.items()}


class Lengths(NamedTuple):
    """The input of forward that says how long each row is; `source` is one that tells how many rows
    there are, by its `axis`.
    """

    name: str
    dtype: torch.dtype
    source: str
    axis: int

    def of(self, values: Mapping[str, torch.Tensor], steps: int) -> torch.Tensor:
        """`steps` for each row."""
        source = values[self.source].movedim(self.axis, 0)
        return torch.full_like(source.flatten(1)[:, 0], steps, dtype=self.dtype)


class Step(nn.Module):
    """Takes the inputs of one time step, then the states; gives the outputs, then the new states.

    The module inside is the user's own, untouched; `inputs` and `outputs` name tensors of its
    forward, each with its axis of time; `rows` the axis of rows of each output. Where forward takes
    `lengths`, every row is as long as the run. States that are complex numbers come and go as
    pairs of real ones, in one more axis at the end.
    """

    def __init__(
        self,
        original: Original,
        plan: Plan,
        inputs: Mapping[str, int | None],
        outputs: Mapping[str, int | None],
        rows: Mapping[str, int | None],
        lengths: Lengths | None = None,
        complexes: Collection[int] = (),
    ) -> None:
        super().__init__()
        self.module = original.module
        self._original = original
        self._signature = original.signature
        self._omit = tuple(original.omit)
        self._plan = plan
        self._inputs = tuple(inputs)
        self._outputs = dict(outputs)
        self._rows = dict(rows)
        self._lengths = lengths
        self._complexes = frozenset(complexes)
        self._times = {name: axis for name, axis in inputs.items() if axis is not None}
        self._others = original.plain_tensors()

    @property
    def sums(self) -> bool:
        """Whether it keeps sums over all steps."""
        return any(each.kind in SUMMING for each in self._plan.scans)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One step."""
        count = len(self._inputs)
        values = dict(zip(self._inputs, tensors[:count], strict=True))
        states = [each.clone() for each in tensors[count:]]  # forward may write into them
        for place in self._complexes:
            states[place] = torch.view_as_complex(states[place])
        found, after = self.run(values, states)
        new = [torch.view_as_real(each) if each.is_complex() else each for each in after]
        return (*(found[name] for name in self._outputs), *new)

    def run(
        self, values: Mapping[str, torch.Tensor], states: Sequence[torch.Tensor]
    ) -> tuple[Tensors, tuple[torch.Tensor, ...]]:
        """Outputs by name, and the new states."""
        found, after = self._run(self._plan, values, states)
        if not self._plan.apart:
            return found, after
        begun, count = [*self._plan.begun(states).values()], len(self._plan.pairs)
        unbegun = [*states[:count], *states[count + len(begun) :]]
        fresh, left = self._run(self._plan.first(), values, unbegun)
        outputs = {
            name: torch.where(self._rows_begun(begun[0], each, name), each, fresh[name])
            for name, each in found.items()
        }
        new = map(torch.where, begun, after[:count], left)
        return outputs, (*new, *after[count:])

    def _rows_begun(self, begun: torch.Tensor, output: torch.Tensor, name: str) -> torch.Tensor:
        """Which rows of an output are of sessions that have begun; states have rows in front."""
        axis = self._rows[name]
        if axis is None:
            return begun.any()
        sizes = [1] * output.dim()
        sizes[axis] = output.shape[axis]
        return begun.reshape(output.shape[axis], -1)[:, 0].reshape(sizes)

    def _run(
        self, plan: Plan, values: Mapping[str, torch.Tensor], states: Sequence[torch.Tensor]
    ) -> tuple[Tensors, tuple[torch.Tensor, ...]]:
        copies = plan.copies
        if copies > 1:
            values = {
                name: each
                if name not in self._times
                else torch.cat([each] * copies, self._times[name])
                for name, each in values.items()
            }
        if self._lengths is not None:
            values = {**values, self._lengths.name: self._lengths.of(values, copies)}
        call = self._signature.call(values, self._omit)
        inputs = {given(name): each for name, each in values.items()}
        keys = tensors_of(self.module, self._others)
        mode = Substitution(plan, states, inputs, keys, END)
        with watching(mode), self._original.settled():
            tree = run_forward(self.module, call)
        returned = flatten(tree, "output")
        found = {name: returned[name] for name in self._outputs}
        for name, axis in self._outputs.items():
            if axis is not None and copies > 1:
                found[name] = found[name].narrow(axis, found[name].shape[axis] - 1, 1)
        return found, mode.after()
