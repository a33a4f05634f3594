"""The kinds of request, made ready to be sent: bytes of HTTP, and messages of a stream.

| kind     | a request                                        | by what |
| ---      | ---                                              | --- |
| step     | the next time steps of a session                 | POST /v1/sessions/{id}/steps |
| sequence | a whole sequence, of which the server keeps none | POST /v1/models/{model}/infer |
| bulk     | the next time step of many sessions              | POST /v1/steps, in JSON alone |
| stream   | the next time steps of a session                 | a message of its WebSocket |

Inputs are drawn beforehand, a few of each kind: drawing them would be more work than sending.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np

from carousel_bench.load.reply import Reply
from carousel_bench.settings import BULK, SEQUENCE, STEP, STREAM
from carousel_bench.target import Target
from carousel_client.codec import JSON, SAFETENSORS, Codec, named_state
from carousel_client.endpoint import Endpoint
from carousel_client.model import Array
from carousel_client.tensorfile import write_tensors

_DRAWN = 8


@dataclass(frozen=True, slots=True)
class Seat:
    """The sessions of one lane: of its steps, of its stream, of its bulk requests."""

    step: str
    stream: str
    bulk: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What is sent to which model, and how large. `steps` are of a step and a message, `length` of
    a sequence, `rows` of a bulk request.
    """

    url: str
    api_key: str | None = field(repr=False)
    target: Target
    kinds: tuple[str, ...]
    weights: tuple[float, ...]
    is_json: bool
    steps: int
    length: int
    rows: int

    def num_steps(self, kind: str) -> int:
        """Time steps of one request, over all of its sessions."""
        return self.row_steps(kind) * (self.rows if kind == BULK else 1)

    def row_steps(self, kind: str) -> int:
        """Time steps of one request, of each of its sessions."""
        if kind == BULK:
            return self.target.num_steps(1)
        return self.length if kind == SEQUENCE else self.steps


@dataclass(slots=True)
class Source:
    """The requests of one kind from one lane, without end. `row_steps`: time steps of each session
    in one; `url`: of the stream they go to.
    """

    kind: str
    requests: Iterator[bytes | str]
    row_steps: int
    url: str = ""


class Work:
    """Makes the requests of a job, for as many lanes as there are."""

    def __init__(self, job: Job, endpoint: Endpoint, seed: int) -> None:
        self._job = job
        self._endpoint = endpoint
        self._codec = Codec(job.target.model)
        self._rng = np.random.default_rng(seed)
        steps = [job.target.inputs(job.steps, self._rng) for _ in range(_DRAWN)]
        self._steps = [self._body(each) for each in steps]
        self._messages = [self._message(each) for each in steps]
        self._sequences = self._infer_all() if SEQUENCE in job.kinds else []

    def __repr__(self) -> str:
        return f"<Work {self._codec!r} {', '.join(self._job.kinds)}>"

    def source(self, kind: str, seat: Seat) -> Source:
        """The requests of a lane."""
        url = ""
        requests: list[Any]
        if kind == STEP:
            requests = self._posts(self._steps, "v1", "sessions", seat.step, "steps")
        elif kind == SEQUENCE:
            requests = self._sequences
        elif kind == BULK:
            requests = self._posts(self._bulk(seat.bulk), "v1", "steps")
        else:
            assert kind == STREAM
            url = self._endpoint.stream_at("v1", "sessions", seat.stream, "stream")
            requests = self._messages
        start = int(self._rng.integers(len(requests)))
        turned = requests[start:] + requests[:start]
        return Source(kind, cycle(turned), self._job.row_steps(kind), url)

    def _body(self, inputs: dict[str, Array]) -> "_Body":
        if self._job.is_json:
            return _Body(JSON, _dumps({"inputs": self._codec.to_json(inputs)}))
        if len(inputs) == 1:
            encoded = self._codec.encode(next(iter(inputs.values())))
            return _Body(encoded.media, encoded.content)
        return _Body(SAFETENSORS, write_tensors(self._codec.cast(inputs)))

    def _message(self, inputs: dict[str, Array]) -> bytes | str:
        """A binary message is one input, and answered by one output."""
        if self._codec.is_raw and not self._job.is_json:
            return self._codec.encode(next(iter(inputs.values()))).content
        return _dumps({"inputs": self._codec.to_json(inputs)}).decode()

    def _bulk(self, ids: tuple[str, ...]) -> list["_Body"]:
        target = self._job.target
        bodies = []
        for _ in range(2):
            rows = [target.inputs(target.num_steps(1), self._rng) for _ in ids]
            steps = [
                {"session_id": session_id, "inputs": self._codec.to_json(row)}
                for session_id, row in zip(ids, rows, strict=True)
            ]
            bodies.append(_Body(JSON, _dumps({"steps": steps})))
        return bodies

    def _infer_all(self) -> list[bytes]:
        target = self._job.target
        bodies = []
        for _ in range(_DRAWN):
            inputs, state = target.inputs(self._job.length, self._rng), target.state(self._rng)
            if self._job.is_json:
                whole: dict[str, Any] = {"sequences": [self._codec.to_json(inputs)]}
                if state:
                    whole["states"] = [{name: each.tolist() for name, each in state.items()}]
                bodies.append(_Body(JSON, _dumps(whole)))
            else:
                tensors = {**self._codec.cast(inputs), **named_state(state)}
                bodies.append(_Body(SAFETENSORS, write_tensors(tensors)))
        return self._posts(bodies, "v1", "models", target.model.name, "infer")

    def _posts(self, bodies: list["_Body"], *parts: str) -> list[bytes]:
        endpoint = self._endpoint
        sent = [
            endpoint.request(
                "POST",
                endpoint.at(*parts),
                content=each.content,
                headers={"Content-Type": each.media, "Accept": self._accept(each.media)},
            )
            for each in bodies
        ]
        return [
            b"POST %b HTTP/1.1\r\n%b\r\n%b"
            % (
                each.url.raw_path,
                b"".join(b"%b: %b\r\n" % (name, value) for name, value in each.headers.raw),
                each.content,
            )
            for each in sent
        ]

    def _accept(self, media: str) -> str:
        """Raw bytes hold one output; several come as safetensors."""
        return "*/*" if media == JSON or self._codec.is_raw else SAFETENSORS


@dataclass(frozen=True, slots=True)
class _Body:
    media: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server says no with: in a word, its status and code, and in its own words."""

    word: str
    detail: str


def refusal_of(reply: Reply) -> Refusal:
    """The refusal that a reply is; it may be a proxy's."""
    try:
        problem = json.loads(reply.body)
        return Refusal(f"{reply.status} {problem['code']}", str(problem["detail"]))
    except (ValueError, LookupError, TypeError):
        return Refusal(str(reply.status), reply.body[:200].decode(errors="replace"))


def refused_rows(reply: Reply) -> Counter[str]:
    """The steps of a bulk request that were refused, each by itself."""
    if b'"error"' not in reply.body:
        return Counter()
    try:
        results = json.loads(reply.body)["results"]
        errors = [each["error"] for each in results if "error" in each]
        return Counter(f"{each['status']} {each['code']}" for each in errors)
    except (ValueError, LookupError, TypeError):
        return Counter({"an answer that cannot be read": 1})


def _dumps(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
