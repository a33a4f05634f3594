"""The client on asyncio's loop: models, whole sequences, and sessions."""

import ssl
from types import TracebackType
from typing import Any, Literal, Self, overload

from carousel_client.async_session import AsyncSession, Opening
from carousel_client.async_wire import AsyncWire
from carousel_client.calls import Calls, Inferred, State, sequences_of
from carousel_client.client import RETRY_S, TIMEOUT_S
from carousel_client.directory import MAX_PAGE, Directory
from carousel_client.endpoint import Endpoint
from carousel_client.many import Head, SteppedMany
from carousel_client.model import ModelInfo
from carousel_client.retry import Retry
from carousel_client.session_info import SessionInfo, SessionPage
from carousel_client.session_state import SessionState


class AsyncClient:
    """As `Client`, with the same arguments; for the tasks of one event loop."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retry_s: float = RETRY_S,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        endpoint = Endpoint(url, api_key, timeout_s, Retry(retry_s), ssl_context)
        self._wire = AsyncWire(endpoint)
        self._calls = Calls(endpoint)
        self._directory = Directory(endpoint)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._wire.endpoint.url

    def __repr__(self) -> str:
        return f"<AsyncClient {self._wire.endpoint.url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all connections; sessions stay on the server."""
        await self._wire.close()

    async def models(self) -> list[ModelInfo]:
        """Every model at its highest version."""
        return await self._wire.run(self._calls.models())

    async def model(self, name: str, version: int | None = None) -> ModelInfo:
        """One model; its highest version unless another is named."""
        return await self._wire.run(self._calls.model(name, version))

    @overload
    async def infer(
        self,
        model: str,
        sequences: Any,
        states: Any = ...,
        *,
        return_state: Literal[False] = ...,
        version: int | None = ...,
    ) -> Any: ...
    @overload
    async def infer(
        self,
        model: str,
        sequences: Any,
        states: Any = ...,
        *,
        return_state: Literal[True],
        version: int | None = ...,
    ) -> Inferred: ...
    async def infer(
        self,
        model: str,
        sequences: Any,
        states: Any = None,
        *,
        return_state: bool = False,
        version: int | None = None,
    ) -> Any:
        """The outputs of whole sequences, `[T, F...]` each; as `Client.infer`."""
        asked = sequences_of(sequences, states)
        plan = self._calls.infer(model, asked, version, return_state=return_state)
        return await self._wire.run(plan)

    async def step_many(
        self,
        model: str,
        session_ids: Any,
        inputs: Any,
        *,
        positions: Any = None,
        lengths: Any = None,
        open: bool = False,
        ttl_s: float | None = None,
        version: int | None = None,
    ) -> SteppedMany:
        """A step of each of many sessions of one model, as `Client.step_many`."""
        head = Head(model, version, open, ttl_s)
        plan = self._calls.step_many(head, session_ids, inputs, positions, lengths)
        return await self._wire.run(plan)

    def session(
        self,
        model: str,
        *,
        session_id: str | None = None,
        ttl_s: float | None = None,
        state: State | None = None,
        position: int = 0,
        version: int | None = None,
    ) -> Opening:
        """Open a session, as `Client.session`: `async with client.session(...) as s`, or
        `s = await client.session(...)`.
        """

        async def make() -> AsyncSession:
            plan = self._calls.open(model, version, session_id, state, position, ttl_s)
            return AsyncSession(self._wire, await self._wire.run(plan))

        return Opening(make)

    def attach(self, session_id: str) -> Opening:
        """Go on with a session that is there, as `Client.attach`; awaited or entered."""

        async def make() -> AsyncSession:
            return AsyncSession(self._wire, await self._wire.run(self._calls.attach(session_id)))

        return Opening(make)

    async def sessions(self, model: str | None = None) -> list[SessionInfo]:
        """Every live session, or those of a model, in order of id."""
        return await self._wire.run(self._directory.all(model))

    async def sessions_page(
        self, model: str | None = None, *, after: str | None = None, limit: int = MAX_PAGE
    ) -> SessionPage:
        """The live sessions that follow the id `after`, `limit` of them at most (up to 1,000)."""
        return await self._wire.run(self._directory.page(model, after, limit))

    async def session_info(self, session_id: str) -> SessionInfo:
        """Where a session stands. Raises SessionNotFound and SessionExpired, as what follows."""
        return await self._wire.run(self._directory.info(session_id))

    async def session_state(self, session_id: str) -> SessionState:
        """A session's state to the bit, with its position and the ETag of its revision."""
        return await self._wire.run(self._directory.state(session_id))

    async def set_session_state(
        self, session_id: str, state: SessionState, *, if_match: str | None = None
    ) -> SessionInfo:
        """Put a session at a state and its position. With `if_match`, an ETag: only while it is at
        that revision; raises PreconditionFailed otherwise.
        """
        return await self._wire.run(self._directory.set_state(session_id, state, if_match))

    async def delete_session(self, session_id: str, *, if_match: str | None = None) -> None:
        """End a session; `if_match` as in `set_session_state`."""
        await self._wire.run(self._directory.delete(session_id, if_match))
