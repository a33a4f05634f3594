"""What clients do all the time: each act is one short life of something, and ends it or lets it
expire.
"""

import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx
import orjson
from websockets.frames import Frame, Opcode

from tests.harness.fuzz.link import Link
from tests.harness.witness import WITNESS_MODEL

_TTL_S = 60
_ROWS = ([[1.0, 2.0]], [[0.5, 0.0]] * 20)
_OIP = f"/v2/models/{WITNESS_MODEL}/infer"


class Churn:
    """Of one client. `counts` takes each act, and each status that it was answered."""

    def __init__(self, url: str, seed: int, counts: Counter[str]) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, verify=False)
        self._port = int(url.rpartition(":")[2])
        self._rng = random.Random(seed)
        self._counts = counts
        self._names = (f"soak-{seed}-{number}" for number in itertools.count())
        self._acts: dict[Callable[[], Awaitable[None]], int] = {
            self._session: 6, self._sequence: 8, self._stream: 4, self._bulk: 2, self._fork: 2,
            self._infer: 2, self._errors: 4, self._leave: 2,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<Churn {self._counts.total()}>"

    async def act(self) -> None:
        """Do one thing."""
        act = self._rng.choices(list(self._acts), list(self._acts.values()))[0]
        self._counts[act.__name__.strip("_")] += 1
        await act()

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, document: object = None) -> httpx.Response:
        content = None if document is None else orjson.dumps(document)
        headers = {"Content-Type": "application/json"}
        answer = await self._http.request(method, path, content=content, headers=headers)
        self._counts[str(answer.status_code)] += 1
        return answer

    async def _open(self) -> str:
        name = next(self._names)
        document = {"model": WITNESS_MODEL, "session_id": name, "ttl_s": _TTL_S}
        await self._ask("POST", "/v1/sessions", document)
        return f"/v1/sessions/{name}"

    async def _session(self) -> None:
        path = await self._open()
        for position in range(self._rng.randint(1, 8)):
            rows = self._rng.choice(_ROWS)
            await self._ask(
                "POST", f"{path}/steps", {"inputs": rows, "return_state": position == 3}
            )
        state = (await self._ask("GET", f"{path}/state")).json()
        await self._ask("PUT", f"{path}/state", state)
        await self._ask("POST", f"{path}/reset")
        await self._ask("DELETE", path)

    async def _leave(self) -> None:
        """A session that nobody ends."""
        path = await self._open()
        await self._ask("POST", f"{path}/steps", {"inputs": _ROWS[0]})

    async def _sequence(self) -> None:
        """Started, stepped, and in seven of eight cases ended; one in eight never is."""
        name = next(self._names)
        number = self._rng.randint(2, 10)
        ends = self._rng.random() < 7 / 8
        for index in range(number):
            parameters = {
                "sequence_id": name,
                "sequence_start": index == 0,
                "sequence_end": ends and index == number - 1,
            }
            tensor = {"name": "input", "shape": [1, 1, 2], "datatype": "FP32", "data": [1, 2]}
            await self._ask("POST", _OIP, {"inputs": [tensor], "parameters": parameters})

    async def _stream(self) -> None:
        """A session of its own, some messages, and an end that says so or just goes."""
        path = f"/v1/models/{WITNESS_MODEL}/stream?ttl_s={_TTL_S}"
        head = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        step = Frame(Opcode.TEXT, b'{"inputs":[[1,2]]}').serialize(mask=True)
        async with Link(self._port) as link:
            await link.send(head.encode(), step * self._rng.randint(1, 20))
            await link.read(first_s=5, then_s=0.05)
            if self._rng.random() < 0.5:
                await link.send(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
                await link.read(first_s=1, then_s=0.05)
        for status in link.statuses:
            self._counts[str(status)] += 1

    async def _bulk(self) -> None:
        paths = [await self._open() for _ in range(4)]
        names = [each.rpartition("/")[2] for each in paths] + ["nobody"] * 4
        steps = [{"session_id": each, "inputs": _ROWS[0]} for each in names]
        await self._ask("POST", "/v1/steps", {"steps": steps})
        for each in paths:
            await self._ask("DELETE", each)

    async def _fork(self) -> None:
        path = await self._open()
        await self._ask("POST", f"{path}/steps", {"inputs": _ROWS[0]})
        made = await self._ask("POST", f"{path}/fork", {"count": 3, "ttl_s": _TTL_S})
        for each in made.json()["sessions"]:
            await self._ask("DELETE", f"/v1/sessions/{each['session_id']}")
        await self._ask("DELETE", path)

    async def _infer(self) -> None:
        document = {"sequences": list(_ROWS) * 4, "return_state": True}
        await self._ask("POST", f"/v1/models/{WITNESS_MODEL}/infer", document)

    async def _errors(self) -> None:
        """One of each kind."""
        await self._ask("POST", "/v1/sessions/nobody/steps", {"inputs": _ROWS[0]})
        await self._ask("POST", f"/v1/models/{WITNESS_MODEL}/infer", {"sequences": [[[1]]]})
        await self._ask("POST", "/v1/sessions", {"model": WITNESS_MODEL, "what": 1})
        await self._ask("GET", "/v1/nowhere")
        await self._ask("DELETE", "/v1/models")
        await self._ask("POST", _OIP, {"inputs": []})
        path = await self._open()
        await self._ask("POST", f"{path}/steps", {"inputs": _ROWS[0], "position": 7})
        await self._ask("DELETE", path)
        async with Link(self._port) as link:
            await link.send(b"nothing that anybody understands\r\n\r\n")
            await link.read(first_s=5, then_s=0.05)
