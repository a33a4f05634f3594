"""All that is read and written of one model on the wire."""

from collections.abc import Iterable

from carousel.models.spec import ModelSpec
from carousel.service.api.encoding.answer_size import AnswerSize
from carousel.service.api.encoding.column_inputs import ColumnInputs
from carousel.service.api.encoding.inputs import Inputs
from carousel.service.api.encoding.json_size import LargestRequest
from carousel.service.api.encoding.outputs import Outputs
from carousel.service.api.encoding.states import States
from carousel.service.engine.loaded_model import LoadedModel


class Codec:
    """The inputs, outputs and states of a model."""

    __slots__ = ("answer_size", "columns", "inputs", "largest", "outputs", "states")

    def __init__(self, spec: ModelSpec, *, max_steps: int) -> None:
        self.inputs = Inputs(spec, max_steps=max_steps)
        self.columns = ColumnInputs(spec, max_steps=max_steps)
        self.outputs = Outputs(spec)
        self.answer_size = AnswerSize(spec)
        self.largest = LargestRequest.of(spec, max_steps)
        self.states = States(spec)

    def __repr__(self) -> str:
        return f"<Codec {self.inputs!r} {self.outputs!r} {self.states!r}>"


class Codecs:
    """One codec for each loaded model, made when it is first asked for."""

    def __init__(self, *, max_steps: int) -> None:
        self.max_steps = max_steps
        self._codecs: dict[LoadedModel, Codec] = {}

    def __repr__(self) -> str:
        return f"<Codecs {len(self._codecs)}>"

    def of(self, loaded: LoadedModel) -> Codec:
        codec = self._codecs.get(loaded)
        return self._make(loaded) if codec is None else codec

    def largest_of(self, models: Iterable[LoadedModel]) -> LargestRequest:
        """What the largest request of any of these has."""
        return LargestRequest.of_any([self.of(each).largest for each in models], self.max_steps)

    def _make(self, loaded: LoadedModel) -> Codec:
        self._codecs = {each: codec for each, codec in self._codecs.items() if not each.retired}
        codec = self._codecs[loaded] = Codec(loaded.spec, max_steps=self.max_steps)
        return codec
