"""How much memory an answer may take, known before anything is run for it."""

from math import prod

from carousel.models.spec import Dtype, ModelSpec
from carousel.service.sessions.step import Step

# Of one number in JSON, with its comma: the longest that its dtype has.
_SHORT, _LONG = 17, 26
_LONG_DTYPES = ("float64", "int64")
_ITEM_BYTES = {"int8": 1, "uint8": 1, "bool": 1, "float16": 2, "int16": 2, "float64": 8, "int64": 8}


class AnswerSize:
    """Of the answers of one model: its arrays, and what they are as JSON or, mostly less, in
    binary.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._step = self._sequence = 0
        for output in spec.outputs:
            num_bytes = _bytes(output.dtype, output.row_shape)
            if output.per == "step":
                self._step += num_bytes
            else:
                self._sequence += num_bytes
        self._state = sum(_bytes(each.dtype, each.session_shape) for each in spec.states)

    def __repr__(self) -> str:
        return f"<AnswerSize step={self._step} sequence={self._sequence} state={self._state}>"

    def of_step(self, step: Step) -> int:
        """In bytes, of a step of a session."""
        size = step.num_steps * self._step + self._sequence
        return size + self._state if step.return_state else size

    def of(self, num_steps: int, num_rows: int = 1, *, with_state: bool = False) -> int:
        """In bytes, of `num_rows` sequences that have so many time steps together."""
        size = num_steps * self._step + num_rows * self._sequence
        return size + num_rows * self._state if with_state else size


def _bytes(dtype: Dtype, shape: tuple[int, ...]) -> int:
    text = _LONG if dtype in _LONG_DTYPES else _SHORT
    return prod(shape) * (_ITEM_BYTES.get(dtype, 4) + text)
