"""`application/x-safetensors`: inputs or outputs by name, and states as `state.<name>`."""

from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from carousel.models.row import Array
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.api.encoding.states import PREFIX
from carousel.service.api.encoding.tensor import Entry
from carousel.service.api.http.exchange import Exchange, read_position
from carousel.service.api.v1.control_bodies import MAX_PLACE, WriteState
from carousel.service.api.v1.media.media import Media
from carousel.service.api.v1.work import Work
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.start_state import require_given, start_row
from carousel.service.errors import InvalidRequest, Malformed
from carousel.service.sessions.results import StateRead

_MAX_HEADER_BYTES = 64 * 1024
_LENGTH_BYTES = 8
_DTYPES = {
    "F16": "float16", "F32": "float32", "F64": "float64", "I8": "int8", "I16": "int16",
    "I32": "int32", "I64": "int64", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


class Safetensors(Media):
    """The binary one that holds several tensors."""

    name = "application/x-safetensors"

    def read_inputs(self, exchange: Exchange, codec: Codec) -> InputSequence:
        return codec.inputs.read_tensors(parse_tensors(exchange.body))

    def read_work(self, exchange: Exchange, codec: Codec, loaded: LoadedModel) -> Work:
        with_state = exchange.flags(return_state=False)["return_state"]
        entries = parse_tensors(exchange.body)
        states = {name: entries.pop(name) for name in list(entries) if name.startswith(PREFIX)}
        row: bytes | None = None
        if states:
            row = start_row(loaded, codec.states.read_tensors(states, whole=False), "states")
        else:
            require_given(loaded, (), "states")
        return Work([codec.inputs.read_tensors(entries)], [row], with_state)

    def read_state(self, body: bytes, headers: Mapping[str, str], codec: Codec) -> WriteState:
        position = headers.get("carousel-position")
        if position is None:
            raise InvalidRequest(
                "Carousel-Position: nothing given; expected where the state stands"
            )
        stands = read_position(position.encode("latin-1"))
        if stands > MAX_PLACE:
            raise InvalidRequest(
                f"Carousel-Position: {stands} given; a session may be put at {MAX_PLACE} at most"
            )
        return WriteState(state=codec.states.read_tensors(parse_tensors(body)), position=stands)

    def write(
        self, codec: Codec, outputs: Mapping[str, Array], state: Mapping[str, Array] | None
    ) -> bytes:
        return _write({**outputs, **_state_names(state or {})})

    def write_state(self, read: StateRead) -> bytes:
        return _write(_state_names(read.state))


def header_of(body: bytes, max_bytes: int = _MAX_HEADER_BYTES) -> bytes:
    """The JSON in front of the values, as text; raises Malformed where it is longer."""
    length = int.from_bytes(body[:_LENGTH_BYTES], "little")
    if len(body) < _LENGTH_BYTES or length > min(len(body) - _LENGTH_BYTES, max_bytes):
        raise Malformed(
            f"the body: {len(body)} bytes whose first {_LENGTH_BYTES} announce a header of "
            f"{length} bytes; expected safetensors with a header of {max_bytes} at most"
        )
    return body[_LENGTH_BYTES : _LENGTH_BYTES + length]


def parse_tensors(body: bytes, max_header_bytes: int = _MAX_HEADER_BYTES) -> dict[str, Entry]:
    """The tensors of a safetensors body by name; raises Malformed."""
    header_of(body, max_header_bytes)
    try:
        found = deserialize(body)  # type: ignore[no-untyped-call]  # a function in Rust
    except SafetensorError:
        raise Malformed("the body: its header is not that of a safetensors file") from None
    return {
        name: Entry(_DTYPES.get(entry["dtype"], entry["dtype"]), entry["shape"], entry["data"])
        for name, entry in found
    }


def _write(tensors: Mapping[str, Array]) -> bytes:
    """A safetensors body; the same tensors give the same bytes."""
    return save({name: np.ascontiguousarray(each) for name, each in tensors.items()})


def _state_names(state: Mapping[str, Array]) -> dict[str, Array]:
    return {PREFIX + name: each for name, each in state.items()}
