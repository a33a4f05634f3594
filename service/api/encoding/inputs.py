"""The inputs of one sequence of a model, from each encoding, checked against its spec."""

from dataclasses import dataclass
from typing import Any

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.api.encoding.explain import Shape, kind_of
from carousel.service.api.encoding.tensor import Entry, Tensor
from carousel.service.errors import (
    InvalidRequest,
    OutOfRange,
    SequenceTooLong,
    ShapeMismatch,
    UnsupportedMediaType,
)


@dataclass(slots=True)
class InputSequence:
    """Inputs by name in wire layout, and how many time steps they have (1 without time)."""

    inputs: dict[str, Array]
    num_steps: int


@dataclass(frozen=True, slots=True)
class Declared:
    """What a request says of the array that raw bytes are; None where it says nothing."""

    dtype: str | None
    shape: tuple[int, ...] | None


class StepRules:
    """What a model demands of a sequence's number of time steps beside the shapes of its inputs."""

    def __init__(self, spec: ModelSpec) -> None:
        self.counting = [each.name for each in spec.sent_inputs if each.counts_steps]
        self._least, self._most = spec.min_sequence, spec.max_sequence
        self.is_free = not self.counting and self._least == 1 and self._most is None

    def __repr__(self) -> str:
        return f"<StepRules least={self._least} most={self._most} counting={self.counting}>"

    def check(self, sequence: InputSequence, where: str) -> InputSequence:
        """The sequence; raises ShapeMismatch where the model takes none so short, SequenceTooLong
        where it takes none so long, OutOfRange where an input counts more steps than there are.
        """
        if self.is_free:
            return sequence
        num_steps = sequence.num_steps
        if num_steps < self._least:
            raise ShapeMismatch(
                f"{where}: {num_steps} time steps given; the model takes {self._least} or more"
            )
        if self._most is not None and num_steps > self._most:
            raise SequenceTooLong(
                f"{where}: {num_steps} time steps given; the model takes {self._most} at most"
            )
        for name in self.counting:
            count = int(sequence.inputs[name].max())
            if count > num_steps:
                raise OutOfRange(
                    f"{where}.{name}: {count} given; expected at most {num_steps}, the time steps "
                    "of the sequence"
                )
        return sequence


def input_tensors(spec: ModelSpec, max_steps: int) -> dict[str, Tensor]:
    """What reads each input that clients send, by name."""
    return {
        each.name: Tensor(
            Shape(each.dtype, spec.wire_shape(each), each.low, each.high), max_steps=max_steps
        )
        for each in spec.sent_inputs
    }


class Inputs:
    """Reads what a client sends for one sequence, or one step of a session."""

    def __init__(self, spec: ModelSpec, *, max_steps: int) -> None:
        self._tensors = input_tensors(spec, max_steps)
        self._max_steps = max_steps
        self._rules = StepRules(spec)
        self._single = next(iter(self._tensors.items())) if len(self._tensors) == 1 else None
        self._single_takes_list = self._single is not None and bool(self._single[1].shape.axes)

    def __repr__(self) -> str:
        return f"<Inputs {self._tensors}>"

    def check_rows(self, count: int, where: str) -> None:
        """Raise SequenceTooLong for so many sequences, of one time step at least, in a request."""
        if count > self._max_steps:
            raise SequenceTooLong(
                f"{where}: {count} given; a request may have {self._max_steps} time steps in all"
            )

    def read_json(self, value: Any, where: str, *, bools: bool) -> InputSequence:
        """The inputs of a JSON value: an array, or an object of arrays by input name."""
        if self._single is not None and type(value) is not dict:
            name, tensor = self._single
            array = tensor.read_json(value, where, bools=bools)
            sequence = InputSequence({name: array}, len(array) if tensor.has_time else 1)
            return self._rules.check(sequence, where)
        if type(value) is not dict:
            raise InvalidRequest(
                f"{where}: {kind_of(value)} given; expected an object of {self._names()}"
            )
        self._check_names(value.keys(), where)
        return self._sequence(
            {
                name: tensor.read_json(value[name], f"{where}.{name}", bools=bools)
                for name, tensor in self._tensors.items()
            },
            where,
        )

    def read_bytes(self, body: bytes, declared: Declared | None = None) -> InputSequence:
        """The inputs of a raw body: the one input of the model. What is `declared` of it is held
        against the model: 8-byte floats have the bytes of twice as many 4-byte ones.
        """
        name, tensor = self.require_single()
        if declared is not None:
            tensor.check_kind(declared.dtype, declared.shape, "the body")
        array = tensor.read_bytes(body, "the body")
        if declared is not None and declared.shape not in (None, array.shape):
            raise ShapeMismatch(
                f"the body: {list(array.shape)} given, and the content type says "
                f"{list(declared.shape or ())}"
            )
        return self._checked(name, tensor, array)

    def read_entry(self, entry: Entry) -> InputSequence:
        """The inputs of a tensor without a name: the one input of the model."""
        name, tensor = self.require_single()
        return self._checked(name, tensor, tensor.read_entry(entry, "the body"))

    def check_dtype(self, dtype: str, where: str) -> None:
        """Raises ShapeMismatch where raw bytes are said to be of another dtype."""
        self.require_single()[1].check_kind(dtype, None, where)

    def require_single(self, media: str = "application/octet-stream") -> tuple[str, Tensor]:
        """The one input; raises UnsupportedMediaType where there are more than `media` holds."""
        if self._single is None:
            raise UnsupportedMediaType(
                f"Content-Type: {media} given, for a model of {self._names()}",
                hint="several inputs go as application/x-safetensors or as JSON",
            )
        return self._single

    def _checked(self, name: str, tensor: Tensor, array: Array) -> InputSequence:
        sequence = InputSequence({name: array}, len(array) if tensor.has_time else 1)
        return self._rules.check(sequence, "the body")

    def read_tensors(self, entries: dict[str, Entry]) -> InputSequence:
        """The inputs among the tensors of a safetensors body, which holds nothing else."""
        self._check_names(entries.keys(), "the body")
        arrays = {
            name: tensor.read_entry(entries[name], name) for name, tensor in self._tensors.items()
        }
        return self._sequence(arrays, "the body")

    def _sequence(self, arrays: dict[str, Array], where: str) -> InputSequence:
        lengths = {
            name: len(arrays[name]) for name, tensor in self._tensors.items() if tensor.has_time
        }
        if len(set(lengths.values())) > 1:
            raise ShapeMismatch(f"{where}: time steps {lengths} given; expected one number of them")
        return self._rules.check(InputSequence(arrays, next(iter(lengths.values()), 1)), where)

    def _check_names(self, given: Any, where: str) -> None:
        for name in given:
            if name in self._tensors:
                continue
            raise InvalidRequest(f"{where}.{name}: no such input; expected {self._names()}")
        for name in sorted(self._tensors.keys() - given):
            raise InvalidRequest(f"{where}.{name}: nothing given; expected {self._names()}")

    def _names(self) -> str:
        count = len(self._tensors)
        return f"{count} input{'s' * (count > 1)}: {', '.join(self._tensors)}"
