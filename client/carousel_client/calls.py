"""The calls on a server that need no session, as plans."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from carousel_client.codec import SAFETENSORS, Codec, Inputs, Outputs
from carousel_client.columns import make_columns
from carousel_client.document import expecting
from carousel_client.endpoint import Endpoint
from carousel_client.errors import InvalidRequest, ModelNotFound, SessionExists, ShapeMismatch
from carousel_client.many import Head, StepMany, SteppedMany
from carousel_client.model import Array, ModelInfo, read_model
from carousel_client.plan import Plan, ask, document_of
from carousel_client.session_calls import SessionCalls
from carousel_client.session_info import SessionInfo, read_session

State = Mapping[str, npt.ArrayLike]
_ONE = "a list holds several sequences; one alone is an array: np.asarray(x)"


@dataclass(frozen=True, slots=True)
class Inferred:
    """The answer to `infer` with `return_state`: outputs, and the state at the end; for several
    sequences a list of each.
    """

    outputs: Any
    state: Any


@dataclass(frozen=True, slots=True)
class Sequences:
    """What `infer` was given: several sequences, or one, and where each starts."""

    given: Sequence[Inputs]
    states: Sequence[State | None]
    alone: bool


def sequences_of(sequences: Any, states: Any) -> Sequences:
    """The sequences of an argument: a list or tuple holds several, anything else is one."""
    if not isinstance(sequences, list | tuple):
        return Sequences((sequences,), (states,), alone=True)
    given = states if states is not None else [None] * len(sequences)
    if not isinstance(given, list | tuple) or len(given) != len(sequences):
        raise InvalidRequest(f"states: expected a list of {len(sequences)}, a state or None each")
    return Sequences(sequences, given, alone=False)


class Calls:
    """Asks a server. May be shared between threads: what is kept is only what never changes, and
    the models' descriptions, which are asked for again when a model refuses an input.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._codecs: dict[tuple[str, int | None], Codec] = {}

    def __repr__(self) -> str:
        return f"<Calls {self._endpoint.url} models={len(self._codecs)}>"

    def models(self) -> Plan[list[ModelInfo]]:
        """Every model at its highest version."""
        document = yield from self._get(self._endpoint.at("v1", "models"))
        with expecting("the models"):
            return [read_model(each) for each in document["models"]]

    def model(self, name: str, version: int | None = None) -> Plan[ModelInfo]:
        """One model."""
        return read_model((yield from self._get(self._model_url(name, version))))

    def infer(
        self, name: str, asked: Sequences, version: int | None, *, return_state: bool
    ) -> Plan[Any]:
        """The outputs of whole sequences, as `asked` has them; an Inferred with `return_state`."""
        codec = yield from self.codec(name, version)
        try:
            if asked.alone:
                found = yield from self._infer_one(codec, name, version, asked, return_state)
            else:
                found = yield from self._infer_many(codec, name, version, asked, return_state)
        except InvalidRequest:
            # The model may have a newer version, of other shapes.
            self._codecs.pop((name, version), None)
            raise
        return found if return_state else found.outputs

    def step_many(
        self, head: Head, session_ids: Any, inputs: Inputs, positions: Any, lengths: Any
    ) -> Plan[SteppedMany]:
        """A step of each of many sessions."""
        codec = yield from self.codec(head.model, head.version)
        try:
            columns = make_columns(codec, session_ids, inputs, positions, lengths)
            return (yield from StepMany(self._endpoint, codec, head, columns).run())
        except InvalidRequest:
            # The model may have a newer version, of other shapes.
            self._codecs.pop((head.model, head.version), None)
            raise

    def open(
        self,
        model: str,
        version: int | None,
        session_id: str | None,
        state: State | None,
        position: int,
        ttl_s: float | None,
    ) -> Plan[SessionCalls]:
        """Open a session. The client draws the id where none is given: so a second attempt can tell
        a session that the first one opened.
        """
        body: dict[str, Any] = {"model": model, "session_id": session_id or secrets.token_hex(16)}
        if version is not None:
            body["version"] = version
        if ttl_s is not None:
            body["ttl_s"] = ttl_s
        if position:
            body["position"] = position
        given: dict[str, Array] | None = None
        if state is not None:
            # Asked for anew: the highest version may be another by now.
            codec = Codec((yield from self.model(model, version)))
            given = codec.cast_state(state)
            body["state"] = codec.state_to_json(given)
        request = self._endpoint.request("POST", self._endpoint.at("v1", "sessions"), json=body)
        try:
            response = yield from ask(request, self._endpoint.retry)
            info = read_session(document_of(response))
        except SessionExists as error:
            if not error.after_loss:
                raise
            info = read_session(error.fields.get("session", {}))
            opened = yield from self._calls_on(info, owned=session_id is None)
            if not (yield from opened.is_new(model, position, given)):
                raise
            return opened
        return (yield from self._calls_on(info, owned=session_id is None))

    def attach(self, session_id: str) -> Plan[SessionCalls]:
        """Go on with a session that is there."""
        document = yield from self._get(self._endpoint.at("v1", "sessions", session_id))
        return (yield from self._calls_on(read_session(document), owned=False))

    def codec(self, name: str, version: int | None) -> Plan[Codec]:
        """The codec of a model; asks for its description the first time."""
        codec = self._codecs.get((name, version))
        if codec is None:
            codec = Codec((yield from self.model(name, version)))
            self._codecs[name, version] = codec
        return codec

    def _calls_on(self, info: SessionInfo, *, owned: bool) -> Plan[SessionCalls]:
        try:
            codec = yield from self.codec(info.model, info.version)
        except ModelNotFound:
            # A version that is gone is followed by one with the same weights.
            codec = yield from self.codec(info.model, None)
        return SessionCalls(
            self._endpoint, codec, info.session_id, position=info.position, owned=owned
        )

    def _infer_one(
        self, codec: Codec, name: str, version: int | None, asked: Sequences, return_state: bool
    ) -> Plan[Inferred]:
        url = self._model_url(name, version, "infer") + (
            "?return_state=true" if return_state else ""
        )
        request = self._endpoint.request(
            "POST",
            url,
            content=codec.write(asked.given[0], asked.states[0]),
            headers={"Content-Type": SAFETENSORS},
        )
        response = yield from ask(request, self._endpoint.retry)
        found = codec.decode(response.headers.get("content-type", ""), response.content)
        return Inferred(found.outputs, found.state)

    def _infer_many(
        self, codec: Codec, name: str, version: int | None, asked: Sequences, return_state: bool
    ) -> Plan[Inferred]:
        body: dict[str, Any] = {"sequences": _to_json(codec, asked.given)}
        if any(each is not None for each in asked.states):
            body["states"] = [
                None if each is None else codec.state_to_json(each) for each in asked.states
            ]
        if return_state:
            body["return_state"] = True
        request = self._endpoint.request("POST", self._model_url(name, version, "infer"), json=body)
        document = document_of((yield from ask(request, self._endpoint.retry)))
        with expecting("the outputs and states"):
            outputs: list[Outputs] = [codec.from_json(each) for each in document["outputs"]]
            states = [codec.state_from_json(each) for each in document.get("states", ())]
            if len(outputs) != len(asked.given):
                raise ValueError
        return Inferred(outputs, states if return_state else None)

    def _model_url(self, name: str, version: int | None, *parts: str) -> str:
        place = () if version is None else ("versions", str(version))
        return self._endpoint.at("v1", "models", name, *place, *parts)

    def _get(self, url: str) -> Plan[Any]:
        request = self._endpoint.request("GET", url)
        return document_of((yield from ask(request, self._endpoint.retry)))


def _to_json(codec: Codec, sequences: Sequence[Inputs]) -> list[Any]:
    found = []
    for number, each in enumerate(sequences):
        try:
            found.append(codec.to_json(each))
        except InvalidRequest as error:
            hint = _ONE if isinstance(error, ShapeMismatch) else error.hint
            raise type(error)(f"sequences[{number}]: {error.detail}", hint=hint) from None
    return found
