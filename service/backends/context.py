"""Input context: the last samples of a row's previous input in front of its next one."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array
from carousel.models.spec import InputSpec, ModelSpec
from carousel.service.backends.base import BackendRefused, DeviceArray, JoiningBackend, Pool


class ContextBackend:
    """A backend around another whose program sees kept samples in front of each new input.

    The samples are a state as any other in the pool; the program itself does not know of it.
    """

    mixed_lengths = False  # what is kept of a padded row would be its padding

    def __init__(self, inner: JoiningBackend, spec: ModelSpec) -> None:
        """Raises BackendRefused for a spec without the state or the axis of a context."""
        self._inner = inner
        self._states = spec.states
        places = {state.context_of: place for place, state in enumerate(spec.states)}
        for each in spec.inputs:
            if each.context:
                _check(each, spec)
        self._contexts = [
            (_Joiner(inner, each), places[each.name]) for each in spec.inputs if each.context
        ]
        self._own = [place for place, each in enumerate(spec.states) if each.context_of is None]

    def __repr__(self) -> str:
        return f"<ContextBackend {[joiner.name for joiner, _ in self._contexts]} {self._inner!r}>"

    def make_pool(self, num_slots: int) -> Pool:
        """The pool of the backend inside, which holds the kept samples too."""
        return self._inner.make_pool(num_slots)

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[DeviceArray],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[DeviceArray]]:
        """Outputs and new states, the samples to keep among them."""
        seen: dict[str, DeviceArray] = dict(inputs)
        kept: dict[str, DeviceArray] = {}
        for joiner, place in self._contexts:
            new = self._inner.place(inputs[joiner.name])
            seen[joiner.name] = joiner.join(states[place], new)
            kept[joiner.name] = joiner.keep(states[place], new)
        outputs, changed = self._inner.run(seen, [states[place] for place in self._own], lengths)
        rest = iter(changed)
        return outputs, [
            next(rest) if each.context_of is None else kept[each.context_of]
            for each in self._states
            if not each.fixed
        ]

    def wait(self) -> None:
        """As the backend inside."""
        self._inner.wait()


def _check(given: InputSpec, spec: ModelSpec) -> None:
    kept = [each for each in spec.states if each.context_of == given.name]
    axis = given.context_axis
    fits = axis is not None and 0 <= axis < len(given.axes)
    if not fits or [each.axes for each in kept] != [given.kept_axes]:
        raise BackendRefused(
            f"{given.name} keeps {given.context} samples, but the manifest has no axis or no state "
            "that fits them"
        )


class _Joiner:
    """One input and the axis along which its context stands."""

    def __init__(self, backend: JoiningBackend, spec: InputSpec) -> None:
        assert spec.context_axis is not None, f"{spec.name} keeps no context"
        self.name = spec.name
        self._backend = backend
        self._context = spec.context
        self._axis = spec.context_axis
        # Along another axis than time every time step has the end of the one before in front.
        self._time = None if spec.time_axis == self._axis else spec.time_axis

    def join(self, kept: DeviceArray, new: DeviceArray) -> DeviceArray:
        """What the program sees: the context, then the new samples."""
        if self._time is not None:
            before = self._cut(new[_at(self._time, slice(None, -1))], slice(-self._context, None))
            kept = self._backend.join([kept[_at(self._time, None)], before], self._time)
        return self._backend.join([kept, new], self._axis)

    def keep(self, kept: DeviceArray, new: DeviceArray) -> DeviceArray:
        """The last samples, and never a view of what `join` gave: a program may write into that."""
        last = slice(-self._context, None)
        if self._time is not None:
            return self._cut(new, last)[_at(self._time, -1)]
        if new.shape[self._axis] >= self._context:
            return self._cut(new, last)
        return self._cut(self._backend.join([kept, new], self._axis), last)

    def _cut(self, array: DeviceArray, part: slice) -> DeviceArray:
        return array[_at(self._axis, part)]


def _at(axis: int, index: slice | int | None) -> tuple[slice | int | None, ...]:
    """`index` on one axis and all of those in front of it."""
    return (*(slice(None) for _ in range(axis)), index)
