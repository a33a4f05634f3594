"""A tensor of an answer, whole: the rows of all that ran together, in the protocol's layout."""

from collections.abc import Sequence

import numpy as np
import orjson

from carousel.models.row import Array
from carousel.models.spec import Dtype, ModelSpec, OutputSpec, StateSpec
from carousel.service.api.v1.work import RowResult
from carousel.service.api.v2.tensors import DATATYPES


class AnswerTensor:
    """One tensor of an answer. `head` is how its JSON begins, up to the shape."""

    is_state = False

    def __init__(self, name: str, dtype: Dtype) -> None:
        self.name = name
        self.head = b'{"name":%b,"datatype":"%b","shape":' % (
            orjson.dumps(name),
            DATATYPES[dtype].encode(),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def whole(self, rows: Sequence[RowResult]) -> Array:
        """All rows of it, in the layout that clients meet."""
        raise NotImplementedError


class OutputTensor(AnswerTensor):
    """An output of the model: `[batch, time, rest]`, less the axes that it lacks."""

    def __init__(self, spec: ModelSpec, output: OutputSpec) -> None:
        super().__init__(output.name, output.dtype)
        self._is_framed = spec.is_framed
        self._has_batch = output.batch_axis is not None

    def whole(self, rows: Sequence[RowResult]) -> Array:
        first = rows[0].outputs[self.name]
        if len(rows) > 1:
            parts = [row.outputs[self.name] for row in rows]
            return np.concatenate(parts) if self._is_framed else np.stack(parts)
        if self._is_framed:
            # Its one frame stands along an axis of time, which the protocol does not show.
            return first if self._has_batch else first[0]
        return first[np.newaxis] if self._has_batch else first


class StateOutput(AnswerTensor):
    """A state after the request in the program's own layout, under one of its two names."""

    is_state = True

    def __init__(self, state: StateSpec, name: str) -> None:
        super().__init__(name, state.dtype)
        self._state = state.name
        self._batch_axis = state.batch_axis
        sizes = list(state.row_shape)
        if state.batch_axis is not None:
            sizes.insert(state.batch_axis, state.fold)
        self._sizes = tuple(sizes)

    def whole(self, rows: Sequence[RowResult]) -> Array:
        parts: list[Array] = []
        for row in rows:
            assert row.state is not None
            parts.append(row.state[self._state].reshape(self._sizes))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, self._batch_axis)
