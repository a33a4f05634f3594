"""All that the Open Inference Protocol reads and writes of one model, worked out once."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from carousel.models.spec import TIME
from carousel.service.api.encoding.answer_size import AnswerSize
from carousel.service.api.encoding.inputs import InputSequence, StepRules
from carousel.service.api.encoding.json_size import LargestRequest
from carousel.service.api.v1.work import Work
from carousel.service.api.v2.binary_tensors import BinaryTensors
from carousel.service.api.v2.outputs import AnswerTensor, OutputTensor, StateOutput
from carousel.service.api.v2.request import InferRequest, take_bool, take_parameters
from carousel.service.api.v2.tensors import GivenTensor, InputTensor, StateTensor, TensorData
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.start_state import start_row
from carousel.service.errors import InvalidRequest, ShapeMismatch


@dataclass(frozen=True, slots=True)
class ChosenOutput:
    """An output that the answer has, and whether it comes in binary."""

    tensor: AnswerTensor
    binary: bool


@dataclass(frozen=True, slots=True)
class ChosenOutputs:
    """The outputs that an answer has, and whether states are among them."""

    outputs: list[ChosenOutput]
    with_state: bool


class OipCodec:
    """The tensors of one model by name. `head` is how the JSON of its answers begins."""

    def __init__(self, loaded: LoadedModel, *, max_steps: int) -> None:
        spec = loaded.spec
        self.loaded = loaded
        self.head = b'{"model_name":%b,"model_version":"%d"' % (
            orjson.dumps(loaded.name),
            loaded.version,
        )
        self.inputs = {
            each.name: InputTensor(spec, each, max_steps=max_steps) for each in spec.sent_inputs
        }
        self.states = {
            each.name: StateTensor(spec, each, max_steps=max_steps) for each in spec.states
        }
        self._given: dict[str, GivenTensor] = {**self.states, **self.inputs}
        self._answers: dict[str, AnswerTensor] = {
            name: StateOutput(each, name)
            for each in spec.states
            for name in (each.name, each.output)
            if name is not None
        }
        outputs = {each.name: OutputTensor(spec, each) for each in spec.outputs}
        self._answers |= outputs
        self._all = {
            binary: ChosenOutputs(
                [ChosenOutput(each, binary) for each in outputs.values()], with_state=False
            )
            for binary in (False, True)
        }
        self._rules = StepRules(spec)
        self.answer_size = AnswerSize(spec)
        self.largest = LargestRequest.of(spec, max_steps)
        self._single = next(iter(self.inputs.values())) if len(self.inputs) == 1 else None

    def __repr__(self) -> str:
        return f"<OipCodec {list(self._given.values())}>"

    def read(self, request: InferRequest, *, with_state: bool) -> Work:
        """The rows of a request, each a sequence; raises InvalidRequest and its subclasses."""
        if request.binary is not None and request.is_raw:
            return Work([self._read_raw(request.binary)], [None], with_state)
        binary = BinaryTensors(request.binary)
        given: dict[str, TensorData] = {}
        for entry in request.inputs:
            name = entry["name"]
            tensor = self._given.get(name)
            if tensor is None:
                raise InvalidRequest(f"inputs: {name!r} given; expected {self._names()}")
            given[name] = tensor.read(entry, binary)
        binary.check_end()
        self._check_names(given)
        count = _agree("rows", {name: each.extent.rows for name, each in given.items()})
        states: list[bytes | None] = [None] * count
        if len(given) > len(self.inputs):
            states = self._read_states(given, count)
        return Work(self._read_inputs(given, count), states, with_state)

    def read_step(self, request: InferRequest) -> InputSequence:
        """The one row of a request of a sequence, which keeps its own state. Raises as `read`."""
        single, inputs = self._single, request.inputs
        if single is not None and len(inputs) == 1 and inputs[0]["name"] == single.name:
            # What nearly every step is.
            sequence = single.read_short(inputs[0], request.binary)
            if sequence is not None:
                return sequence
            binary = BinaryTensors(request.binary)
            values = single.read(inputs[0], binary)
            binary.check_end()
            if values.extent.rows == 1:
                return InputSequence({single.name: single.rows(values)[0]}, values.extent.steps)
        work = self.read_start(request)
        if work.rows[0] is not None:
            raise InvalidRequest(
                "inputs: states given; a sequence keeps its own",
                hint="with sequence_start they are where it begins",
            )
        return work.sequences[0]

    def read_start(self, request: InferRequest) -> Work:
        """The one row of a sequence's first request, and the states that it begins at."""
        work = self.read(request, with_state=False)
        if len(work.sequences) != 1:
            raise ShapeMismatch(
                f"inputs: {len(work.sequences)} rows given; a request of a sequence has one"
            )
        return work

    def choose(self, request: InferRequest) -> ChosenOutputs:
        """The outputs that a request asks for: all but the states, unless it names some."""
        usual = request.is_raw or take_bool(
            request.parameters, "binary_data_output", False, "the request"
        )
        if not request.outputs:
            return self._all[usual]
        chosen: list[ChosenOutput] = []
        for entry in request.outputs:
            name = entry["name"]
            tensor = self._answers.get(name)
            if tensor is None:
                names = ", ".join(self._answers)
                raise InvalidRequest(f"outputs: {name!r} given; expected some of {names}")
            where = f"outputs.{name}"
            parameters = take_parameters(entry, where)
            chosen.append(ChosenOutput(tensor, take_bool(parameters, "binary_data", usual, where)))
        return ChosenOutputs(chosen, with_state=any(each.tensor.is_state for each in chosen))

    def _read_raw(self, body: bytes) -> InputSequence:
        if len(self.inputs) != 1:
            raise InvalidRequest(
                f"the body: raw bytes given, which are one input; expected {self._names()}"
            )
        ((name, tensor),) = self.inputs.items()
        array = tensor.tensor.read_bytes(body, "the body")
        steps = len(array) if tensor.tensor.has_time else 1
        if steps > 1 and TIME not in tensor.axes:
            raise ShapeMismatch(f"the body: {steps} frames given; the model takes one in a request")
        return self._rules.check(InputSequence({name: array}, steps), "the body")

    def _read_inputs(self, given: Mapping[str, TensorData], count: int) -> list[InputSequence]:
        timed = {
            name: given[name].extent.steps
            for name, each in self.inputs.items()
            if TIME in each.axes
        }
        steps = _agree("time steps", timed)
        arrays = {name: each.rows(given[name]) for name, each in self.inputs.items()}
        return [
            self._rules.check(
                InputSequence({name: each[row] for name, each in arrays.items()}, steps), "inputs"
            )
            for row in range(count)
        ]

    def _read_states(self, given: Mapping[str, TensorData], count: int) -> list[bytes | None]:
        arrays = {
            name: each.rows(given[name]) for name, each in self.states.items() if name in given
        }
        return [
            start_row(self.loaded, {name: each[row] for name, each in arrays.items()}, "inputs")
            for row in range(count)
        ]

    def _check_names(self, given: Mapping[str, TensorData]) -> None:
        """Every input must be there, and all of the states or none, unless there are fixed ones."""
        if given.keys() == self.inputs.keys() or len(given) == len(self._given):
            return
        missing = self.inputs.keys() - given.keys()
        if not missing and self.loaded.spec.starts_in_part:
            return
        missing = missing or self.states.keys() - given.keys()
        raise InvalidRequest(
            f"inputs: nothing given for {', '.join(sorted(missing))}; expected {self._names()}"
        )

    def _names(self) -> str:
        rule = "" if self.loaded.spec.starts_in_part else ", all or none"
        states = f"; states: {', '.join(self.states)}{rule}" if self.states else ""
        return f"inputs: {', '.join(self.inputs)}{states}"


class OipCodecs:
    """One codec for each loaded model, made when it is first asked for."""

    def __init__(self, *, max_steps: int) -> None:
        self._max_steps = max_steps
        self._codecs: dict[LoadedModel, OipCodec] = {}

    def __repr__(self) -> str:
        return f"<OipCodecs {len(self._codecs)}>"

    def of(self, loaded: LoadedModel) -> OipCodec:
        codec = self._codecs.get(loaded)
        return self._make(loaded) if codec is None else codec

    def _make(self, loaded: LoadedModel) -> OipCodec:
        self._codecs = {each: codec for each, codec in self._codecs.items() if not each.retired}
        codec = self._codecs[loaded] = OipCodec(loaded, max_steps=self._max_steps)
        return codec


def _agree(what: str, sizes: Mapping[str, int]) -> int:
    """The one number that all tensors have; 1 where none has such an axis."""
    found = set(sizes.values())
    if len(found) > 1:
        raise ShapeMismatch(f"inputs: {what} {dict(sizes)} given; expected one number of them")
    return found.pop() if found else 1
