"""Arrays to bytes and back for one model: raw for a single tensor, safetensors for several, and
JSON where the protocol has nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from carousel_client.errors import BadAnswer, InvalidRequest, NonFiniteInput
from carousel_client.model import Array, ModelInfo, TensorInfo
from carousel_client.tensor import Tensor
from carousel_client.tensorfile import read_tensors, write_tensors

RAW = "application/octet-stream"
SAFETENSORS = "application/x-safetensors"
JSON = "application/json"

# One array, or for a model with several inputs an object of arrays by name.
Inputs = npt.ArrayLike | Mapping[str, npt.ArrayLike]
# One array, or for a model with several outputs an object of arrays by name. Which of the two is
# known when the model is, so a type checker is told that either will do.
Outputs = Array | Any

# What the names of states begin with where inputs or outputs may stand beside them.
STATE = "state."


@dataclass(slots=True)
class Encoded:
    """Inputs as the body of a request, and how many time steps they are."""

    content: bytes
    media: str
    num_steps: int


@dataclass(slots=True)
class Decoded:
    """What a body held; `state` by name, None where there was none."""

    outputs: Outputs
    state: dict[str, Array] | None


class Codec:
    """Writes what a model takes, and reads what it answers."""

    def __init__(self, model: ModelInfo) -> None:
        self.model = model
        self._inputs = {each.name: Tensor(each) for each in model.inputs}
        self._states = {each.name: Tensor(each) for each in model.states}
        self._timed = [each.name for each in model.inputs if each.has_time]
        single = len(model.inputs) == 1
        self._input = next(iter(self._inputs.values())) if single else None
        self._input_has_time = bool(self._timed)
        self._output = model.outputs[0] if len(model.outputs) == 1 else None
        # Says what the bytes are, so that a model which takes other ones refuses them.
        self.raw_media = f"{RAW}; dtype={model.inputs[0].dtype.name}" if single else RAW
        # Whether a step may go as bytes both ways.
        self.is_raw = single and self._output is not None

    def __repr__(self) -> str:
        return f"<Codec {self.model.name}/{self.model.version}>"

    def encode(self, inputs: Inputs) -> Encoded:
        """One sequence or step: raw for a single input, safetensors for several."""
        if self._input is None or isinstance(inputs, Mapping):
            arrays = self.cast(inputs)
            return Encoded(write_tensors(arrays), SAFETENSORS, self.num_steps(arrays))
        array = self._input.cast(inputs, "inputs")
        return Encoded(array.tobytes(), self.raw_media, len(array) if self._input_has_time else 1)

    def cast(self, inputs: Inputs) -> dict[str, Array]:
        """The inputs by name, each in the wire's dtype and shape."""
        if not isinstance(inputs, Mapping):
            if self._input is None:
                raise InvalidRequest(f"inputs: expected an object of {', '.join(self._inputs)}")
            return {self.model.inputs[0].name: self._input.cast(inputs, "inputs")}
        return _cast_all(self._inputs, inputs, "inputs")

    def num_steps(self, arrays: Mapping[str, Array]) -> int:
        """The time steps of inputs by name."""
        lengths = {len(arrays[name]) for name in self._timed}
        if len(lengths) > 1:
            raise InvalidRequest(f"inputs: {sorted(lengths)} time steps given; expected one number")
        return lengths.pop() if lengths else 1

    def cast_state(self, state: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
        """A state by name, each array in the wire's dtype and shape."""
        return _cast_all(self._states, state, "state")

    def write_state(self, state: Mapping[str, npt.ArrayLike]) -> bytes:
        """A state as safetensors."""
        return write_tensors(named_state(self.cast_state(state)))

    def write(self, inputs: Inputs, state: Mapping[str, npt.ArrayLike] | None) -> bytes:
        """A sequence and where it starts, as safetensors."""
        states = {} if state is None else named_state(self.cast_state(state))
        return write_tensors({**self.cast(inputs), **states})

    def decode(self, media: str, content: bytes) -> Decoded:
        """The answer to a step or to one sequence; raises BadAnswer."""
        if media == RAW:
            return Decoded(self.decode_raw(content), None)
        if media != SAFETENSORS:
            raise BadAnswer(f"the answer is {media or 'of no type'}; expected tensors")
        found = read_tensors(content)
        state = {
            name.removeprefix(STATE): found.pop(name)
            for name in list(found)
            if name.startswith(STATE)
        }
        outputs = next(iter(found.values())) if len(found) == 1 else found
        return Decoded(outputs, state or None)

    def decode_raw(self, content: bytes) -> Array:
        """The one output of a raw answer; the array is the caller's own."""
        output = self._output
        if output is None:
            raise BadAnswer("the answer is raw bytes; expected several tensors")
        try:
            array = np.frombuffer(content, output.dtype)
            shape = (-1, *output.sizes) if output.has_time else output.sizes
            return array.reshape(shape).copy()
        except ValueError:
            raise BadAnswer(f"{len(content)} bytes came for {output.name}") from None

    def cast_columns(self, inputs: Inputs) -> dict[str, Array]:
        """Inputs of many rows by name, in the wire's dtypes; their shapes are left as they are."""
        if self._input is not None and not isinstance(inputs, Mapping):
            name = self.model.inputs[0].name
            return {name: self._input.convert(inputs, "inputs")}
        if not isinstance(inputs, Mapping) or inputs.keys() != self._inputs.keys():
            raise InvalidRequest(f"inputs: expected arrays by name: {', '.join(self._inputs)}")
        return {
            name: tensor.convert(inputs[name], f"inputs.{name}")
            for name, tensor in self._inputs.items()
        }

    def to_json(self, inputs: Inputs) -> Any:
        """Inputs as JSON has them; raises NonFiniteInput, for which JSON has no word."""
        arrays = self.cast(inputs)
        for name, each in arrays.items():
            if each.dtype.kind == "f" and not np.isfinite(each).all():
                raise NonFiniteInput(f"{name}: NaN or an infinity given")
        if self._input is not None:
            return next(iter(arrays.values())).tolist()
        return {name: each.tolist() for name, each in arrays.items()}

    def from_json(self, value: Any) -> Outputs:
        """Outputs as JSON has them."""
        return _from_json(self.model.outputs, value, alone=self._output is not None)

    def state_to_json(self, state: Mapping[str, npt.ArrayLike]) -> dict[str, Any]:
        """A state as JSON has it, what is not finite in words."""
        return {name: _worded(each) for name, each in self.cast_state(state).items()}

    def state_from_json(self, value: Any) -> dict[str, Array]:
        """A state that came as JSON."""
        found: dict[str, Array] = _from_json(self.model.states, value, alone=False)
        return found

    def reply_bytes(self, num_steps: int) -> int:
        """How large the outputs of so many time steps are."""
        return sum(each.nbytes(num_steps) for each in self.model.outputs)


def named_state(state: Mapping[str, Array]) -> dict[str, Array]:
    """A state under the names that it has in safetensors."""
    return {STATE + name: each for name, each in state.items()}


def _cast_all(
    tensors: Mapping[str, Tensor], values: Mapping[str, npt.ArrayLike], where: str
) -> dict[str, Array]:
    if values.keys() != tensors.keys():
        given, expected = ", ".join(values) or "nothing", ", ".join(tensors) or "nothing"
        raise InvalidRequest(f"{where}: {given} given; expected {expected}")
    return {name: tensor.cast(values[name], f"{where}.{name}") for name, tensor in tensors.items()}


def _from_json(tensors: tuple[TensorInfo, ...], value: Any, *, alone: bool) -> Any:
    try:
        if alone:
            return np.array(value, tensors[0].dtype)
        return {each.name: np.array(value[each.name], each.dtype) for each in tensors}
    except (ValueError, TypeError, KeyError):
        raise BadAnswer("the answer does not hold the arrays of the model") from None


def _worded(array: Array) -> Any:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    return json.loads(json.dumps(array.tolist()), parse_constant=str)
