"""The messages between client and service: requests as bytes, answers as what they say."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from tests.harness.chaos.truth import Place, Row, Step, Told
from tests.harness.chaos.wire import Answer
from tests.harness.witness import FEATURES

_JSON = b"application/json"
_RAW = b"application/octet-stream"
_TENSORS = b"application/x-safetensors"


def call(method: str, path: str, document: Any = None, *, accept: bytes = _JSON) -> bytes:
    """A call in JSON."""
    body = b"" if document is None else _dump(document)
    return _request(method, path, _JSON, body, {b"accept": accept})


def step_json(session_id: str, step: Step, **flags: bool) -> bytes:
    """A step in JSON that names its position."""
    document = {"inputs": step.rows, "position": step.base, **flags}
    return _request("POST", _steps(session_id), _JSON, _dump(document))


def step_raw(session_id: str, step: Step, **flags: bool) -> bytes:
    """A step in raw bytes that names its position."""
    query = "&".join(f"{name}={str(value).lower()}" for name, value in flags.items())
    path = _steps(session_id) + (f"?{query}" if query else "")
    headers = {b"carousel-position": b"%d" % step.base}
    return _request("POST", path, _RAW, _pack(step.rows), headers)


def bulk(steps: Mapping[str, Step]) -> bytes:
    """One step of each of several sessions, by their ids."""
    entries = [
        {"session_id": session_id, "inputs": step.rows, "position": step.base}
        for session_id, step in steps.items()
    ]
    return _request("POST", "/v1/steps", _JSON, _dump({"steps": entries}))


def write_json(session_id: str, place: Place) -> bytes:
    """A state and its position, written in JSON."""
    return call("PUT", state_path(session_id), {"state": state(place), "position": place.position})


def write_tensors(session_id: str, place: Place) -> bytes:
    """A state and its position, written in safetensors."""
    data = _pack([place.sums])
    entry = {"dtype": "F32", "shape": [1, FEATURES], "data_offsets": [0, len(data)]}
    head = _dump({"state.h": entry})
    body = struct.pack("<Q", len(head)) + head + data
    headers = {b"carousel-position": b"%d" % place.position}
    return _request("PUT", state_path(session_id), _TENSORS, body, headers)


def read_request(session_id: str, *, tensors: bool) -> bytes:
    """A state, to be read in safetensors or in JSON."""
    return call("GET", state_path(session_id), accept=_TENSORS if tensors else _JSON)


def state(place: Place) -> dict[str, Any]:
    """The witness's state by name, (1, F)."""
    return {"h": [place.sums]}


def session_path(session_id: str) -> str:
    """Where a session is."""
    return f"/v1/sessions/{session_id}"


def state_path(session_id: str) -> str:
    """Where its state is."""
    return f"{session_path(session_id)}/state"


def read_step(answer: Answer) -> Told:
    """What the answer to a step says, in whichever encoding."""
    replayed = answer.headers.get(b"carousel-replayed") == b"true"
    kind = answer.headers[b"content-type"]
    if kind == _JSON:
        return read_result(json.loads(answer.body), replayed=replayed)
    position = int(answer.headers[b"carousel-position"])
    if kind == _RAW:
        return Told(_unpack(answer.body), position, replayed)
    tensors = _read_tensors(answer.body)
    return Told(tensors["output"], position, replayed, tensors["state.h"][0])


def read_result(document: Any, *, replayed: bool) -> Told:
    """What a JSON object of outputs and position says."""
    saved = document.get("state")
    outputs = list(map(_row, document["outputs"]))
    return Told(outputs, document["position"], replayed, saved and _row(saved["h"][0]))


def read_state(answer: Answer) -> Place:
    """Where the answer to a state read says the session stands."""
    if answer.headers[b"content-type"] == _TENSORS:
        sums = _read_tensors(answer.body)["state.h"][0]
        return Place(int(answer.headers[b"carousel-position"]), sums)
    document = json.loads(answer.body)
    return Place(document["position"], _row(document["state"]["h"][0]))


def _steps(session_id: str) -> str:
    return f"{session_path(session_id)}/steps"


def _request(
    method: str, path: str, kind: bytes, body: bytes, headers: Mapping[bytes, bytes] | None = None
) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1".encode(),
        b"host: 127.0.0.1",
        b"content-type: " + kind,
        b"content-length: %d" % len(body),
        *(name + b": " + value for name, value in (headers or {}).items()),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _pack(rows: list[Row]) -> bytes:
    return b"".join(struct.pack("<2f", *row) for row in rows)


def _unpack(data: bytes) -> list[Row]:
    return list(struct.iter_unpack("<2f", data))


def _row(values: Any) -> Row:
    first, second = values
    return first, second


def _read_tensors(body: bytes) -> dict[str, list[Row]]:
    """The rows of each tensor of a safetensors body."""
    start = 8 + int.from_bytes(body[:8], "little")
    found: dict[str, list[Row]] = {}
    for name, entry in json.loads(body[8:start]).items():
        if name != "__metadata__":
            first, stop = entry["data_offsets"]
            found[name] = _unpack(body[start + first : start + stop])
    return found
