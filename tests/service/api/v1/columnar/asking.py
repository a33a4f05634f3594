"""Asks `/v1/steps` with columns, in either encoding, and reads what it answers alike."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
from safetensors.numpy import load, save

from carousel.models.row import Array
from carousel.service.sessions.stores.base import Store
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.fakes import FaultyStore
from tests.harness.inside import Service
from tests.harness.rig import Rig, play

PATH = "/v1/steps"
JSON = "application/json"
TENSORS = "application/x-safetensors"
ENCODINGS = (JSON, TENSORS)


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the rows: outputs by name with None for rows at fault (of packed ones for each
    of their time steps), positions with None where none is told, rows, errors by row.
    """

    outputs: dict[str, list[Any]]
    positions: list[int | None]
    replayed: list[int]
    opened: list[int]
    errors: dict[int, Any]

    @property
    def output(self) -> list[Any]:
        """The one output there is."""
        (found,) = self.outputs.values()
        return found

    @property
    def codes(self) -> dict[int, str]:
        """The codes of the errors."""
        return {row: each["code"] for row, each in self.errors.items()}


def body_of(
    encoding: str,
    session_ids: Sequence[Any],
    inputs: Any,
    *,
    positions: Any = None,
    lengths: Any = None,
    **head: Any,
) -> bytes:
    """A request. `inputs`: arrays by name, or one for JSON alone."""
    if encoding == JSON:
        columns = {"positions": positions, "lengths": lengths}
        document = {"session_ids": session_ids, "inputs": inputs, **head}
        document |= {name: each for name, each in columns.items() if each is not None}
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    tensors = {name: np.ascontiguousarray(each) for name, each in inputs.items()}
    if positions is not None:
        known = [-1 if each is None else each for each in positions]
        tensors["position"] = np.array(known, np.int64)
    if lengths is not None:
        tensors["lengths"] = np.array(lengths, np.int64)
    metadata = {name: orjson.dumps(each).decode() for name, each in head.items()}
    metadata["session_ids"] = orjson.dumps(session_ids).decode()
    return save(tensors, metadata | ({"model": head["model"]} if "model" in head else {}))


def read_told(
    answer: httpx.Response, *, lengths: Any = None, packed: Sequence[str] | None = None
) -> Told:
    """What an answer of success says; `packed`: the outputs that are, all where it is None."""
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] == JSON:
        return _read_json(answer.json())
    tensors = load(answer.content)
    size = int.from_bytes(answer.content[:8], "little")
    metadata = orjson.loads(answer.content[8 : 8 + size])["__metadata__"]
    errors = {int(row): each for row, each in orjson.loads(metadata["errors"]).items()}
    positions = tensors.pop("position")
    status, replayed = tensors.pop("status"), tensors.pop("replayed")
    opened = tensors.pop("opened", np.zeros(len(status), np.uint8))
    dtypes = [each.dtype.name for each in (positions, status, replayed)]
    assert dtypes == ["int64", "int16", "uint8"]
    assert {row: each["status"] for row, each in errors.items()} == {
        row: each for row, each in enumerate(status.tolist()) if each != 200
    }
    outputs = {}
    for name, each in tensors.items():
        is_packed = lengths is not None and (packed is None or name in packed)
        wrong = np.repeat(status != 200, lengths) if is_packed else status != 200
        assert not each[wrong].any(), "a row at fault has a value"
        outputs[name] = [
            None if bad else value for bad, value in zip(wrong.tolist(), each, strict=True)
        ]
    return Told(
        outputs,
        [None if each == -1 else each for each in positions.tolist()],
        np.flatnonzero(replayed).tolist(),
        np.flatnonzero(opened).tolist(),
        errors,
    )


def _read_json(document: Any) -> Told:
    outputs = document["outputs"]
    return Told(
        outputs if isinstance(outputs, dict) else {"output": outputs},
        document["positions"],
        document.get("replayed", []),
        document.get("opened", []),
        {int(row): each for row, each in document["errors"].items()},
    )


class Asking:
    """Columns of the witness, asked of a service in this process in one encoding."""

    def __init__(self, service: Service, encoding: str) -> None:
        self.service = service
        self.rig = service.rig
        self.encoding = encoding

    async def post(
        self, session_ids: Sequence[Any], inputs: Any, *, late_ms: int | None = None, **more: Any
    ) -> httpx.Response:
        """The answer to a request; inputs are numbers, each in both features."""
        pairs = np.repeat(np.asarray(inputs, np.float32)[..., np.newaxis], 2, axis=-1)
        given: dict[str, Any] = {"x": pairs}
        if self.encoding == JSON:
            given = {"x": pairs.tolist()}
        body = body_of(self.encoding, session_ids, given, **({"model": "witness"} | more))
        headers = {"content-type": self.encoding}
        if late_ms is not None:
            headers["x-request-timeout-ms"] = str(late_ms)
        return await self.service.http.post(PATH, content=body, headers=headers)

    async def ask(self, session_ids: Sequence[Any], inputs: Any, **more: Any) -> Told:
        """What became of the rows of a request that could be read."""
        answer = await self.post(session_ids, inputs, **more)
        assert answer.headers["content-type"] == self.encoding, answer.text
        return read_told(answer, lengths=more.get("lengths"))


def sums(told: Told) -> list[Any]:
    """The witness's running sums, a number or a list of them for each row."""
    found: list[Any] = []
    for each in told.output:
        if each is None:
            found.append(None)
            continue
        value: Array = np.asarray(each)
        assert (value[..., 0] == value[..., 1]).all()
        found.append(value[..., 0].tolist())
    return found


def ask_witness(scenario: Callable[[Asking], Any], encoding: str, rig: Rig | None = None) -> None:
    """Run a scenario around a service of the witness."""

    async def run() -> None:
        async with Service(rig if rig is not None else Rig()) as service:
            await scenario(Asking(service, encoding))

    play(run)


def rig_on(store: Store, **more: Any) -> Rig:
    """A rig whose sessions are in a store."""
    return Rig(store=FaultyStore(store), **more)


def sqlite_in(folder: Path) -> Store:
    """A store in a file."""
    return SqliteStore(folder / "sessions.sqlite")


async def post_body(
    service: Service, body: bytes, media: str = JSON, **headers: str
) -> httpx.Response:
    """The answer to a body."""
    return await service.http.post(PATH, content=body, headers={"content-type": media, **headers})


async def open_all(service: Service, *ids: str) -> None:
    """Open sessions."""
    for each in ids:
        await service.open(each)


def plain_body(**more: Any) -> bytes:
    """A body in JSON for three sessions of the witness; what is None is left out."""
    document = {"model": "witness", "session_ids": ["a", "b", "c"], "inputs": [[1, 1]] * 3} | more
    return json.dumps({name: each for name, each in document.items() if each is not None}).encode()
