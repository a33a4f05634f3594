"""The bodies of `/v1` and `/v2` as targets: `name: value` lines, a blank line, the body."""

import io
import json
import time
from collections.abc import Callable

import numpy as np
import orjson
from numpy.lib import format as npy
from safetensors.numpy import save

from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.document import parse
from carousel.service.api.encoding.json_size import JsonSize
from carousel.service.api.http.exchange import Exchange, deadline_of
from carousel.service.api.v1 import bulk
from carousel.service.api.v1.columnar.columnar_json import read_json
from carousel.service.api.v1.columnar.columnar_tensors import max_header_bytes, read_tensors
from carousel.service.api.v1.control_bodies import ForkSession, OpenSession, WriteState, read_body
from carousel.service.api.v1.media.choose import (
    SAFETENSORS,
    TABLE,
    media_for,
    media_for_outputs,
    media_of,
)
from carousel.service.api.v1.media.safetensors import header_of
from carousel.service.api.v2.binary_tensors import HEADER
from carousel.service.api.v2.oip_codec import OipCodec
from carousel.service.api.v2.request import read_request
from carousel.service.api.v2.sequence_parameters import read_sequence
from carousel.service.api.v2.tensors import DATATYPES
from carousel.service.engine.loaded_model import LoadedModel
from tests.harness.fakes import WITNESS
from tests.harness.fuzz.models import (
    CODECS,
    MAX_STEPS,
    MIXED,
    MODELS,
    READERS,
    arrays_of,
    states_of,
)
from tests.harness.fuzz.target import Target

_BLANK = b"\n\n"
_QUERY = b"?"
_OIP_CODECS = tuple(OipCodec(each, max_steps=MAX_STEPS) for each in MODELS)
_INPUTS = arrays_of(WITNESS, 3)["x"]
_MIXED_JSON = {name: each.tolist() for name, each in arrays_of(MIXED, 3).items()}
_MIXED_STATES = {name: each.tolist() for name, each in states_of(MIXED).items()}


def body_targets() -> tuple[Target, ...]:
    """One for each way that a body is read."""
    v1 = [f"content-type: {each.name}\ncarousel-position: 7\n" for each in TABLE]
    return (
        Target("step", _both(_step), (*_steps(), b"?commit=false&return_state=1" + _BLANK + b"{}")),
        Target("infer", _both(_infer), (*_infers(), *_steps())),
        Target("state", _both(_state), tuple(_states())),
        Target("bulk", _bulk, tuple(_bulks())),
        Target("columns", _columns, tuple(_columnars())),
        Target("control", _control, tuple(_controls())),
        Target("headers", _headers, tuple(each.encode() + _headers_seed() for each in v1)),
        Target("v2", _v2, tuple(_v2s())),
    )


def _both(call: Callable[[Exchange, Codec, LoadedModel], object]) -> Callable[[bytes], None]:
    """For both models: by the length of what is there, so that it stays one input."""

    def decode(data: bytes) -> None:
        exchange = _exchange(data)
        which = int(b"mixed" in data[:40] or exchange.headers.get(b"m") == b"1")
        call(exchange, CODECS[which], MODELS[which])

    return decode


def _exchange(data: bytes) -> Exchange:
    head, _, body = data.partition(_BLANK)
    headers: dict[bytes, bytes] = {}
    query = b""
    for line in head.split(b"\n"):
        if line.startswith(_QUERY):
            query = line[1:]
        else:
            name, _, value = line.partition(b":")
            headers[name.lower().strip()] = value.strip()
    parts = ["", "v2", "models", "m", "infer"]
    deadline = deadline_of(headers, time.monotonic(), 30.0)
    return Exchange("default", parts, query, headers, body, deadline)


def _step(exchange: Exchange, codec: Codec, loaded: LoadedModel) -> None:
    media = media_of(exchange.content_type)
    step = media.read_step(exchange, codec)
    media_for_outputs(exchange.accept, media, codec.outputs, with_state=step.return_state)


def _infer(exchange: Exchange, codec: Codec, loaded: LoadedModel) -> None:
    media_of(exchange.content_type).read_work(exchange, codec, loaded)


def _state(exchange: Exchange, codec: Codec, loaded: LoadedModel) -> None:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in
               exchange.headers.items()}  # fmt: skip
    media = media_of(exchange.content_type)
    if not media.is_single:
        media.read_state(exchange.body, headers, codec)


def _bulk(data: bytes) -> None:
    exchange = _exchange(data)
    assert JsonSize.of(exchange.body).memory > 0
    document = parse(exchange.body)
    for entry in bulk.read_steps(exchange, document, MAX_STEPS):
        CODECS[0].inputs.read_json(entry.inputs, entry.where, bools=True)


def _columns(data: bytes) -> None:
    exchange = _exchange(data)
    reader = READERS[int(exchange.headers.get(b"m") == b"1")]
    if media_of(exchange.content_type) is SAFETENSORS:
        header = header_of(exchange.body, max_header_bytes(MAX_STEPS))
        read_tensors(reader, header, exchange.body, exchange.deadline)
    else:
        read_json(reader, parse(exchange.body), exchange.body, exchange.deadline)


def _control(data: bytes) -> None:
    kind = (OpenSession, ForkSession, WriteState)[data[0] % 3 if data else 0]
    asked = read_body(kind, data[1:])
    if isinstance(asked, OpenSession) and asked.state is not None:
        CODECS[1].states.read_json(asked.state, "state", bools=True, whole=False)


def _headers(data: bytes) -> None:
    exchange = _exchange(data)
    media_of(exchange.content_type)
    media_for(exchange.accept, TABLE[0])
    exchange.position()
    exchange.flags(return_state=False, commit=True)


def _v2(data: bytes) -> None:
    exchange = _exchange(data)
    request = read_request(exchange)
    codec = _OIP_CODECS[int(any(each["name"] == "ids" for each in request.inputs))]
    params = read_sequence(request.parameters, exchange.tenant, "m")
    codec.choose(request)
    if params is None:
        codec.read(request, with_state=True)
    elif params.start:
        codec.read_start(request)
    else:
        codec.read_step(request)


def _seed(media: str, body: bytes, *lines: str) -> bytes:
    return "\n".join((f"content-type: {media}", *lines)).encode() + _BLANK + body


def _npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    file = io.BytesIO()
    npy.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _steps() -> list[bytes]:
    raw = _INPUTS.tobytes()
    plain = {"inputs": _INPUTS.tolist(), "position": 3, "return_state": True, "commit": False}
    mixed = {"inputs": _MIXED_JSON, "position": 3}
    return [
        _seed("application/json", orjson.dumps(plain)),
        _seed("application/json; charset=utf-8", orjson.dumps(mixed), "m: 1"),
        _seed("application/octet-stream", raw, "accept: application/json;q=0.5, */*"),
        _seed('application/octet-stream; dtype=float32; shape="3,2"', raw, "?return_state=true"),
        _seed("application/x-npy", _npy(_INPUTS), "carousel-position: 3"),
        _seed("application/x-npy", _npy(np.asfortranarray(_INPUTS.astype(">f8")))),
        _seed("application/x-safetensors", save({"x": np.ones((3, 2), np.float32)}), "?commit=0"),
        _seed("application/x-safetensors", save(dict(arrays_of(MIXED, 2))), "m: 1"),
    ]


def _infers() -> list[bytes]:
    plain = {"sequences": [_INPUTS.tolist(), [[1, "2"]]], "return_state": True}
    states = {"sequences": [[[1, 2]]], "states": [{"h": [[0.5, 1e-3]]}]}
    mixed = {"sequences": [_MIXED_JSON], "states": [_MIXED_STATES]}
    tensors = arrays_of(MIXED, 2) | {f"state.{n}": v for n, v in states_of(MIXED).items()}
    return [
        _seed("application/json", orjson.dumps(plain), "?return_state=true"),
        _seed("application/json", orjson.dumps(states)),
        _seed("application/json", orjson.dumps(mixed), "m: 1"),
        _seed("application/x-safetensors", save(dict(tensors)), "m: 1"),
    ]


def _states() -> list[bytes]:
    mixed = {"state": _MIXED_STATES, "position": 9}
    words = {"state": {"h": [["NaN", "-Infinity"]]}, "position": 9}
    tensors = save({f"state.{name}": each for name, each in states_of(MIXED).items()})
    return [
        _seed("application/json", orjson.dumps(mixed), "m: 1"),
        _seed("application/json", orjson.dumps(words)),
        _seed("application/x-safetensors", tensors, "m: 1", "carousel-position: 9"),
    ]


def _bulks() -> list[bytes]:
    steps = [
        {"session_id": "a", "inputs": [[1, 2]], "position": 4},
        {"session_id": "b", "inputs": {"x": [[True, 2], [3, 4]]}},
    ]
    return [_seed("application/json", json.dumps({"steps": steps}).encode())]


def _columnars() -> list[bytes]:
    head = {"model": "m", "session_ids": ["a", "b"]}
    more = {"positions": [None, 3], "lengths": [1, 2], "open": True, "ttl_s": 60}
    named = {"model": "m", "session_ids": '["a","b"]', "open": "true", "ttl_s": "60"}
    mixed = {name: np.stack([each, each]) for name, each in arrays_of(MIXED, 2).items()}
    packed = {"x": _INPUTS, "lengths": np.array([1, 2]), "position": np.array([-1, 3])}
    named_json = {name: each.tolist() for name, each in mixed.items()}
    return [
        _seed("application/json", orjson.dumps(head | {"inputs": [[1, 2], [3, "4"]]})),
        _seed("application/json", orjson.dumps(head | {"inputs": _INPUTS.tolist()} | more)),
        _seed("application/json", orjson.dumps(head | {"inputs": named_json}), "m: 1"),
        _seed("application/x-safetensors", save({"x": np.ones((2, 1, 2), np.float32)}, named)),
        _seed("application/x-safetensors", save(packed, named)),
        _seed("application/x-safetensors", save(mixed, named), "m: 1"),
    ]


def _controls() -> list[bytes]:
    opened = {"model": "m", "version": 1, "session_id": "a.b:c@d~e-f", "state": _MIXED_STATES}
    fork = {"session_ids": ["a", "b"], "ttl_s": 3.5}
    return [
        b"\0" + orjson.dumps(opened | {"position": 5, "ttl_s": 60.0}),
        b"\1" + orjson.dumps(fork),
        b"\1" + orjson.dumps({"count": 3}),
        b"\2" + orjson.dumps({"state": _MIXED_STATES, "position": 2**53 - 1}),
    ]


def _headers_seed() -> bytes:
    return (
        b"accept: application/*;q=0.4, application/x-npy; q=0.9, text/html\n"
        b"x-request-timeout-ms: 1500\ncontent-encoding: identity\n"
        b"?return_state=true&commit=false" + _BLANK
    )


def _v2s() -> list[bytes]:
    raw = _INPUTS.tobytes()
    entry = {"name": "x", "shape": [1, 3, 2], "datatype": "FP32"}
    flat = entry | {"data": _INPUTS.ravel().tolist()}
    nested = entry | {"data": [_INPUTS.tolist()]}
    binary = entry | {"parameters": {"binary_data_size": len(raw)}}
    sequence = {"sequence_id": 7, "sequence_start": True, "sequence_end": False}
    outputs = [{"name": "output", "parameters": {"binary_data": True}}, {"name": "h_out"}]
    state = {"name": "h", "shape": [1, 1, 2], "datatype": "FP32", "data": [0.5, 1]}
    step = {"sequence_id": "s", "position": 4}
    documents: list[dict[str, object]] = [
        {"id": "1", "inputs": [flat], "outputs": outputs},
        {"inputs": [nested, state], "parameters": {"binary_data_output": True}},
        {"inputs": [flat], "parameters": sequence},
        {"inputs": [nested], "parameters": step},
        {"inputs": _v2_mixed()},
    ]
    assert parse(orjson.dumps(documents[-1]))
    head = orjson.dumps({"inputs": [binary], "parameters": {"sequence_id": 5}})
    length = HEADER.decode()
    return [
        *(_seed("application/json", orjson.dumps(each)) for each in documents),
        _seed("application/octet-stream", head + raw, f"{length}: {len(head)}"),
        _seed("application/octet-stream", raw, f"{length}: 0"),
    ]


def _v2_mixed() -> list[dict[str, object]]:
    return [
        {
            "name": each.name,
            "shape": [1, *arrays_of(MIXED, 2)[each.name].shape],
            "datatype": DATATYPES[each.dtype],
            "data": arrays_of(MIXED, 2)[each.name].ravel().tolist(),
        }
        for each in MIXED.inputs
    ]
