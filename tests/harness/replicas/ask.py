"""The requests that clients send: bytes, what is asked of which session, how to read the answer."""

import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tests.harness.chaos import message
from tests.harness.chaos.truth import Place
from tests.harness.chaos.wire import Answer
from tests.harness.histories import Answer as Said
from tests.harness.histories import Call, Delete, Done, Open, Read, Reset, Seen, Step, Write
from tests.harness.replicas import answer as answers
from tests.harness.replicas.session import Session
from tests.harness.witness import WITNESS_MODEL


@dataclass(frozen=True, slots=True)
class Part:
    """What a request asks of one session, or what its answer says of that: None if nothing."""

    session: Session
    call: Call
    said: Said | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """`read` says what an answer says of each part; it may tell of a call what was not known."""

    request: bytes
    parts: Sequence[Part]
    read: Callable[[Answer], Sequence[Part]]


def step(session: Session, call: Step, rng: random.Random) -> Ask:
    """A step, in JSON or in raw bytes."""
    return _single(_step(session, call, rng), session, call, partial(answers.read_step, call))


def look(session: Session, call: Step, rng: random.Random) -> Ask:
    """What a step would give."""
    request = _step(session, call, rng, commit=False)
    return _single(request, session, Read(), partial(answers.read_look, call))


def bulk(steps: Sequence[Part]) -> Ask:
    """A step of each of several sessions."""
    documents = []
    for part in steps:
        assert isinstance(part.call, Step)
        document: dict[str, object] = {"session_id": part.session.id}
        documents.append(document | _document(part.call))

    def read(answer: Answer) -> list[Part]:
        if answer.status != 200:
            return [replace(part, said=_read_step(part, answer)) for part in steps]
        results = json.loads(answer.body)["results"]
        return [
            replace(part, said=_read_result(part, result))
            for part, result in zip(steps, results, strict=True)
        ]

    return Ask(message.call("POST", "/v1/steps", {"steps": documents}), steps, read)


def open_session(session: Session, call: Open) -> Ask:
    """Open it at zero or at a state of the client's."""
    document: dict[str, object] = {"model": WITNESS_MODEL, "session_id": session.id}
    if call.position or call.total:
        assert call.position is not None
        assert call.total is not None
        document |= {"state": _state(call.total), "position": call.position}
    request = message.call("POST", "/v1/sessions", document)
    read = partial(answers.read_done, position=call.position, status=201)
    return _single(request, session, call, read)


def fork(session: Session, targets: Sequence[Session]) -> Ask:
    """Copy it to new ids; where the copies stand is told by the answer."""
    ids = [each.id for each in targets]
    request = message.call("POST", f"{message.session_path(session.id)}/fork", {"session_ids": ids})
    parts = [Part(session, Read()), *(Part(each, Open(None, None)) for each in targets)]

    def read(answer: Answer) -> list[Part]:
        said = answers.read_fork(answer, ids)
        if said is None:
            return parts
        found = [replace(part, said=each) for part, each in zip(parts, said, strict=True)]
        return [_placed(part, found[0].said) for part in found]

    return Ask(request, parts, read)


def reset(session: Session) -> Ask:
    """Back to zero."""
    request = message.call("POST", f"{message.session_path(session.id)}/reset")
    return _single(request, session, Reset(), partial(answers.read_done, position=0))


def write(session: Session, call: Write, rng: random.Random) -> Ask:
    """A state and its position, in JSON or in safetensors."""
    build = rng.choice([message.write_json, message.write_tensors])
    request = build(session.id, Place(call.position, (call.total, 2 * call.total)))
    read = partial(answers.read_done, position=call.position)
    return _single(request, session, call, read)


def delete(session: Session) -> Ask:
    """End it."""
    request = message.call("DELETE", message.session_path(session.id))
    read = partial(answers.read_done, position=None, status=204)
    return _single(request, session, Delete(), read)


def read_state(session: Session, rng: random.Random) -> Ask:
    """Its state, in JSON or in safetensors."""
    request = message.read_request(session.id, tensors=rng.random() < 0.5)
    return _single(request, session, Read(), answers.read_state)


def read_info(session: Session) -> Ask:
    """Where it stands."""
    request = message.call("GET", message.session_path(session.id))
    return _single(request, session, Read(), answers.read_info)


def with_deadline(ask: Ask, milliseconds: int) -> Ask:
    """The same request, which is to be refused if it has not started by then."""
    header = b"\r\nx-request-timeout-ms: %d\r\n" % milliseconds
    return replace(ask, request=ask.request.replace(b"\r\n", header, 1))


def _single(
    request: bytes, session: Session, call: Call, read: Callable[[Answer], Said | None]
) -> Ask:
    part = Part(session, call)
    return Ask(request, [part], lambda answer: [replace(part, said=read(answer))])


def _placed(part: Part, source: Said | None) -> Part:
    """A fork's target that was opened stands where the source stood."""
    if isinstance(part.said, Done) and isinstance(source, Seen):
        return replace(part, call=Open(source.position, None))
    return part


def _read_step(part: Part, answer: Answer) -> Said | None:
    assert isinstance(part.call, Step)
    return answers.read_step(part.call, answer)


def _read_result(part: Part, result: object) -> Said | None:
    assert isinstance(part.call, Step)
    return answers.read_result(part.call, result)


def _document(call: Step) -> dict[str, object]:
    document: dict[str, object] = {"inputs": answers.rows(call.values)}
    if call.position is not None:
        document["position"] = call.position
    return document


def _step(session: Session, call: Step, rng: random.Random, *, commit: bool = True) -> bytes:
    path = f"{message.session_path(session.id)}/steps"
    if rng.random() < 0.5:
        document = _document(call)
        if call.return_state:
            document["return_state"] = True
        if not commit:
            document["commit"] = False
        return message.call("POST", path, document)
    flags = f"return_state={str(call.return_state).lower()}&commit={str(commit).lower()}"
    body = b"".join(struct.pack("<2f", *row) for row in answers.rows(call.values))
    lines = [
        f"POST {path}?{flags} HTTP/1.1".encode(),
        b"host: 127.0.0.1",
        b"content-type: application/octet-stream",
        b"content-length: %d" % len(body),
    ]
    if call.position is not None:
        lines.append(b"carousel-position: %d" % call.position)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _state(total: int) -> dict[str, object]:
    return message.state(Place(0, (total, 2 * total)))
