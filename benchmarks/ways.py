"""Other ways to a session than `/v1` over HTTP: WebSocket, and the Open Inference Protocol."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import orjson

from benchmarks.cases import Case, Floats
from benchmarks.framing import LoadError, binary_message, open_stream
from benchmarks.load import Load, Reply, Stream
from benchmarks.process import Server
from benchmarks.targets import Carousel, call

_HEADER_BYTES = b"\r\ninference-header-content-length: "


class WebSocket(Carousel):
    """A stream for each session, raw input in binary messages."""

    def takes(self, case: Case) -> bool:
        return case.encoding == "binary"

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        self.open_sessions(case.size.model, case.sessions)
        return self.streams(case.inputs(), keep, num_kept)

    def streams(self, inputs: Floats, keep: Sequence[int], num_kept: int) -> list[Stream]:
        """A stream for each session of `ids`; inputs: (sessions, messages, ...), over and over."""
        streams = []
        for row, (session_id, frames) in enumerate(zip(self.ids, inputs, strict=True)):
            sock, _ = open_stream(self.server.port, f"/v1/sessions/{session_id}/stream")
            messages = [binary_message(frame.astype("<f4").tobytes()) for frame in frames]
            streams.append(Stream(cycle(messages), num_kept if row in keep else 0, sock))
        return streams

    def check(self, load: Load) -> None:
        # A binary message is the output and nothing else, so the session itself is asked.
        for count, session_id in zip(load.counts, self.ids, strict=True):
            position = call(self.server, "GET", f"/v1/sessions/{session_id}")["position"]
            if position != count:
                raise LoadError(f"a session answered {count} messages stands at {position}")


class Oip(Carousel):
    """Sequences of `/v2`, in binary tensors or JSON; the first request of each starts it."""

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        return [
            Stream(
                _requests(self.server, case, f"bench-{row}", frames),
                num_kept if row in keep else 0,
            )
            for row, frames in enumerate(case.inputs())
        ]

    def check(self, load: Load) -> None:
        self.ids = []
        for count, reply in zip(load.counts, load.last, strict=True):
            told = _document(reply)["parameters"]
            self.ids.append(told["session_id"])
            if told["position"] != count:
                raise LoadError(f"a sequence answered {count} steps stands at {told['position']}")

    def decode(self, case: Case, body: bytes) -> Floats:
        if case.encoding == "binary":
            # The tensor ends the reply, after a header of whatever length.
            return np.frombuffer(body[-4 * case.size.hidden_size :], "<f4")
        return np.asarray(orjson.loads(body)["outputs"][0]["data"], np.float32)


def _requests(server: Server, case: Case, sequence: str, frames: Floats) -> Iterator[bytes]:
    """A start with the first frame, then step after step."""
    yield _request(server, case, frames[0], {"sequence_id": sequence, "sequence_start": True})
    steps = cycle([_request(server, case, each, {"sequence_id": sequence}) for each in frames])
    next(steps)
    yield from steps


def _request(server: Server, case: Case, frame: Floats, told: dict[str, Any]) -> bytes:
    tensor: dict[str, Any] = {"name": "input", "datatype": "FP32", "shape": [1, 1, frame.size]}
    data = b""
    if case.encoding == "binary":
        data = frame.astype("<f4").tobytes()
        tensor["parameters"] = {"binary_data_size": len(data)}
        told = told | {"binary_data_output": True}
    else:
        tensor["data"] = frame.tolist()
    document = orjson.dumps({"inputs": [tensor], "parameters": told})
    length = f"Inference-Header-Content-Length: {len(document)}\r\n" if data else ""
    kind = "octet-stream" if data else "json"
    head = (
        f"POST /v2/models/{case.size.model}/infer HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Content-Type: application/{kind}\r\n{length}"
        f"Content-Length: {len(document) + len(data)}\r\n\r\n"
    )
    return head.encode() + document + data


def _document(reply: Reply) -> dict[str, Any]:
    body, at = reply.body, reply.head.find(_HEADER_BYTES)
    if at >= 0:
        start = at + len(_HEADER_BYTES)
        body = body[: int(reply.head[start : reply.head.find(b"\r\n", start)])]
    document: dict[str, Any] = orjson.loads(body)
    return document
