"""Two servers on one store, one of which opens an id anew on another model."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import orjson

from carousel.models.row import Array
from carousel.models.spec import InputSpec, ModelSpec
from carousel.service.api.http.answer import Answer
from carousel.service.api.http.authenticator import TENANT
from carousel.service.api.streams.closing import Close
from carousel.service.api.streams.message import Frame
from carousel.service.api.streams.stream import Stream
from carousel.service.engine.loaded_model import LoadedModel
from tests.harness.fakes import WITNESS, FaultyStore, WitnessBackend
from tests.harness.inside import Service
from tests.harness.rig import Rig, play, until, witness_engine, witness_model

WIDE = replace(WITNESS, inputs=(InputSpec(name="x", dtype="float32", axes=("batch", "time", 3)),))
RENAMED = replace(WITNESS, outputs=(replace(WITNESS.outputs[0], name="y"),))
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


class WideBackend(WitnessBackend):
    """A witness that takes three features and looks at two."""

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[Array],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[Array]]:
        """As the witness."""
        return super().run({"x": inputs["x"][:, :, :2]}, states, lengths)


def other(spec: ModelSpec) -> LoadedModel:
    """A model of another name and of another interface."""
    backend = WideBackend() if spec is WIDE else WitnessBackend()
    return witness_model(witness_engine(backend, spec=spec), name="other", state_id="o", spec=spec)


@asynccontextmanager
async def two_servers(spec: ModelSpec) -> AsyncIterator[tuple[Service, Service]]:
    """Both with the witness and the other model; session x, stepped by the first server, was then
    deleted and opened on the other model by the second.
    """
    store = FaultyStore(shared=True)
    async with Service(Rig(store=store)) as here, Service(Rig(store=store)) as there:
        for each in (here, there):
            each.rig.serve(each.rig.model, other(spec))
        await here.open("x")
        assert (await here.step("x")).status_code == 200
        assert (await there.http.delete("/v1/sessions/x")).status_code == 204
        body = {"model": "other", "session_id": "x"}
        assert (await there.http.post("/v1/sessions", json=body)).status_code == 201
        yield here, there


def test_a_step_is_not_refused_for_what_another_model_took() -> None:
    """A server that remembers the old model asks the store before it refuses a shape."""

    async def scenario() -> None:
        async with two_servers(WIDE) as (here, _):
            reply = await here.step("x", [[1.0, 2.0, 3.0]])
            assert reply.status_code == 200, reply.text
            assert reply.json() == {"outputs": [[1.0, 2.0]], "position": 1}

    play(scenario)


class Sent:
    """What a stream sends."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bool]] = []

    def send(self, data: bytes, *, is_text: bool) -> None:
        """Note it."""
        self.messages.append((data, is_text))

    def close(self, code: Close, reason: str) -> None:
        """Nobody closes."""

    def hold_back(self, held: bool) -> None:
        """Nobody reads."""


def test_a_message_is_not_refused_for_what_another_model_took() -> None:
    """The same for a message of a stream."""

    async def scenario() -> None:
        async with two_servers(WIDE) as (here, _):
            sent = Sent()
            stream = Stream(
                here.app.streams.services, sent, TENANT, "x", "/v1/sessions/{id}/stream"
            )
            frame = np.asarray([1, 2, 3], "<f4").tobytes()
            stream.receive(Frame(frame, False, time.monotonic()))
            await until(lambda: sent.messages)
            assert sent.messages == [(np.asarray([1, 2], "<f4").tobytes(), False)]
            await stream.settled()

    play(scenario)


def test_many_steps_are_not_refused_for_what_another_model_took() -> None:
    """The same for steps of many sessions in one request."""

    async def scenario() -> None:
        async with two_servers(WIDE) as (here, _):
            body = {"steps": [{"session_id": "x", "inputs": [[1.0, 2.0, 3.0]]}]}
            (result,) = (await here.http.post("/v1/steps", json=body)).json()["results"]
            assert result == {"session_id": "x", "outputs": [[1.0, 2.0]], "position": 1}

    play(scenario)


def test_a_step_that_was_begun_for_another_model_is_read_anew() -> None:
    """Its write is lost, since the id was opened anew: it is the new model's step then, as it would
    be if it had come a moment later.
    """

    async def scenario() -> None:
        async with two_servers(RENAMED) as (here, there):
            sent: list[Answer | None] = []
            begun = here.app.gate.begin(
                "/v1/sessions/x/steps", HEADERS, b'{"inputs":[[1,1]]}', sent.append
            )
            assert begun is not None
            await until(lambda: sent)
            answer = sent[0]
            assert answer is not None
            assert answer.status == 200
            assert orjson.loads(answer.body) == {"outputs": [[1.0, 1.0]], "position": 1}
            assert (await there.http.get("/v1/sessions/x")).json()["position"] == 1
            async with asyncio.timeout(5):
                await here.app.lifecycle.refuse()

    play(scenario)
