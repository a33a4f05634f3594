"""The module with every state explicit: tensors in, tensors out, nothing hidden."""

from collections.abc import Sequence

import torch
from torch import nn

from carousel.export.discovery.state import StateVar
from carousel.export.module.layers import Hooks, Parts
from carousel.export.module.signature import Signature
from carousel.export.module.tree import flatten


class Lifted(nn.Module):
    """Takes the inputs, then the states; gives the outputs, then the new states.

    The module inside is the user's own, run through hooks that are there only while it runs.
    `inputs` and `outputs` name tensors of its `forward`; `omit` are parameters left out; layers in
    `alone` keep their zeros, made so that a trace follows the size of the input. An input named
    `lengths` may come as int32.
    """

    def __init__(
        self,
        module: nn.Module,
        signature: Signature,
        inputs: Sequence[str],
        outputs: Sequence[str],
        states: Sequence[StateVar],
        alone: Sequence[str] = (),
        omit: Sequence[str] = (),
        lengths: str | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self._signature = signature
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._states = tuple(states)
        self._alone = tuple(alone)
        self._omit = tuple(omit)
        self._lengths = lengths

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One run; `tensors` are the inputs and states, and the lengths if the module takes any."""
        names = [*self._inputs, *(state.name for state in self._states)]
        given = dict(zip(names, tensors, strict=False))
        values = {name: given[name] for name in self._inputs}
        for state in self._states:
            if state.argument is not None:
                values[state.argument] = given[state.name]
        if self._lengths is not None:
            values[self._lengths] = tensors[len(names)].to(torch.int64)
        call = self._signature.call(values, self._omit)
        feed = self._feed(given)
        with Hooks(self.module, feed=feed, zero=self._alone, count=False) as hooks:
            tree = self.module(*call.args, **call.kwargs)
        returned = flatten(tree, "output")
        new: list[torch.Tensor] = []
        for state in self._states:
            if state.fixed:
                continue
            if state.output is not None:
                new.append(returned[state.output])
            else:
                assert state.layer is not None
                new.append(hooks.calls.layers[state.layer][-1].final[state.part])
        taken = {state.output for state in self._states}
        # A state that is an answer too is one tensor with two names, which a graph has not.
        answers = (
            returned[name].clone() if name in taken else returned[name] for name in self._outputs
        )
        return (*answers, *new)

    def _feed(self, given: dict[str, torch.Tensor]) -> dict[str, Parts]:
        feed: dict[str, dict[int, torch.Tensor]] = {}
        for state in self._states:
            if state.layer is not None and state.argument is None:
                feed.setdefault(state.layer, {})[state.part] = given[state.name]
        return dict(feed)
