"""Clients that leave, and clients that set a limit to how long they wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from carousel.service.api.http.answer import Answer
from carousel.service.api.http.authenticator import TENANT
from tests.harness.inside import Service, serve
from tests.harness.rig import settle

HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]
# It names another position than the session's: not to be begun without a task.
TO_JUDGE = b'{"inputs":[[1,1]],"position":7}'


@pytest.mark.parametrize("turns", range(6))
def test_a_step_of_a_cold_session_is_answered_for_whenever_its_client_leaves(turns: int) -> None:
    """Whatever has happened by then, the request is over, and a drain does not wait for it."""

    async def scenario(service: Service) -> None:
        await service.open("x")
        assert (await service.step("x")).status_code == 200
        sessions = service.rig.sessions
        session = sessions.peek(TENANT, "x")
        assert session is not None
        sessions.cache.resident.drop(session)
        sent: list[Answer | None] = []
        path = "/v1/sessions/x/steps"
        begun = service.app.gate.begin(path, HEADERS, TO_JUDGE, sent.append)
        assert begun is not None
        for _ in range(turns):
            await asyncio.sleep(0)
        begun.abandon()
        await settle()
        assert len(sent) == 1
        assert service.app.lifecycle.num_accepted == 0

    serve(scenario)


CALLS: dict[str, Callable[[Service, dict[str, str]], Awaitable[int]]] = {
    "show": lambda service, headers: _status(service, "GET", "", headers),
    "read": lambda service, headers: _status(service, "GET", "/state", headers),
    "reset": lambda service, headers: _status(service, "POST", "/reset", headers),
    "fork": lambda service, headers: _status(service, "POST", "/fork", headers),
    "delete": lambda service, headers: _status(service, "DELETE", "", headers),
}


async def _status(service: Service, method: str, path: str, headers: dict[str, str]) -> int:
    body = b"{}" if path == "/fork" else b""
    kind = {"content-type": "application/json"} if body else {}
    reply = await service.http.request(
        method, f"/v1/sessions/x{path}", content=body, headers=headers | kind
    )
    return reply.status_code


@pytest.mark.parametrize("call", CALLS)
def test_every_call_waits_no_longer_than_its_client_says(call: str) -> None:
    """A call behind a step that hangs is answered 504 when its own time is over, and a limit that
    cannot be read is refused.
    """

    async def scenario(service: Service) -> None:
        await service.open("x")
        service.rig.backend.hold()
        step = asyncio.ensure_future(service.step("x"))
        await service.rig.backend.entered()
        ask = CALLS[call]
        assert await ask(service, {"x-request-timeout-ms": "20"}) == 504
        assert await ask(service, {"x-request-timeout-ms": "zz"}) == 422
        service.rig.backend.go()
        assert (await step).status_code == 200
        assert await ask(service, {}) < 300

    serve(scenario)
