"""Requests whose JSON came before, word for word: clients that name no position send it again with
each step of a sequence, and only the tensor behind it is new.
"""

from dataclasses import dataclass, replace

from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.media.choose import media_of
from carousel.service.api.v2.binary_tensors import HEADER
from carousel.service.api.v2.oip_codec import ChosenOutputs, OipCodec
from carousel.service.api.v2.request import OTHER_MEDIA, InferRequest
from carousel.service.api.v2.sequence_parameters import SequenceParameters
from carousel.service.api.v2.sequence_step import SequenceStep, make_step
from carousel.service.engine.loaded_model import LoadedModel

# Of the length of JSON that is kept.
_MAX_DIGITS = 3
_MAX_REQUESTS = 4096
# Parts of a path that names no version.
_NUM_PARTS = 5

_Key = tuple[str, str, bytes]


@dataclass(frozen=True, slots=True)
class CachedRequest:
    """What the JSON of a request comes to: a step of a sequence, with one tensor behind it."""

    params: SequenceParameters
    request: InferRequest
    codec: OipCodec
    choice: ChosenOutputs
    input: str
    num_steps: int
    num_bytes: int

    def step(self, exchange: Exchange, loaded: LoadedModel) -> SequenceStep | None:
        """The step on `loaded`; None where that is another model by now, or where the body has not
        the bytes that its JSON announces.
        """
        body = exchange.body
        start = len(body) - self.num_bytes
        if start != int(exchange.headers[HEADER]) or loaded is not self.codec.loaded:
            return None
        given = self.codec.inputs[self.input]
        array = given.tensor.read_bytes(body[start:], given.where)
        sequence = InputSequence({self.input: array}, self.num_steps)
        return make_step(exchange, self.params, self.request, self.codec, self.choice, sequence)


class RequestCache:
    """The last that may come again, few enough to keep."""

    def __init__(self) -> None:
        self._requests: dict[_Key, CachedRequest] = {}
        self._models: set[LoadedModel] = set()

    def __repr__(self) -> str:
        return f"<RequestCache {len(self._requests)}>"

    def find(self, exchange: Exchange) -> CachedRequest | None:
        """What was kept of a request with this JSON."""
        key = _key(exchange)
        return None if key is None else self._requests.get(key)

    def keep(self, exchange: Exchange, sequence_step: SequenceStep) -> None:
        """Keep a request that was read whole, if it may come again."""
        request = sequence_step.request
        if (
            sequence_step.params.position is not None
            or request.id is not None
            or not request.binary
        ):
            return
        key = _key(exchange)
        if key is None or len(request.inputs) != 1:
            return
        if sequence_step.codec.loaded not in self._models:
            self._drop_retired()
            self._models.add(sequence_step.codec.loaded)
        if len(self._requests) >= _MAX_REQUESTS:
            self._requests.clear()
        self._requests[key] = CachedRequest(
            sequence_step.params,
            replace(request, inputs=[], binary=None),
            sequence_step.codec,
            sequence_step.choice,
            request.inputs[0]["name"],
            sequence_step.step.num_steps,
            len(request.binary),
        )

    def forget(self, exchange: Exchange) -> None:
        """It came again, and is not what it was."""
        key = _key(exchange)
        if key is not None:
            self._requests.pop(key, None)

    def _drop_retired(self) -> None:
        """A model that is no longer served is not kept in memory by what was asked of it."""
        requests = self._requests.items()
        self._requests = {key: each for key, each in requests if not each.codec.loaded.retired}
        self._models = {each for each in self._models if not each.retired}


def _key(exchange: Exchange) -> _Key | None:
    given = exchange.headers.get(HEADER)
    if given is None or len(given) > _MAX_DIGITS or not given.isdigit():
        return None
    if len(exchange.parts) != _NUM_PARTS or media_of(exchange.content_type) in OTHER_MEDIA:
        return None
    return exchange.tenant, exchange.parts[3], exchange.body[: int(given)]
