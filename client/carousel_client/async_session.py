"""A session on asyncio's loop, whose hidden state the server keeps from step to step."""

from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Any, Literal, Self, overload

import numpy.typing as npt

from carousel_client.async_stream import AsyncStream
from carousel_client.async_wire import AsyncWire
from carousel_client.codec import Inputs, Outputs
from carousel_client.model import Array, ModelInfo
from carousel_client.pipeline import MAX_AHEAD
from carousel_client.plan import Plan, T
from carousel_client.session_calls import LEAVE_S, SessionCalls, Stepped
from carousel_client.session_info import SessionInfo
from carousel_client.turn import Life, Turn


class AsyncSession:
    """Made by `AsyncClient.session`, `AsyncClient.attach` and `fork`; all that `Session` says holds
    here. A step that is cancelled may still be done: the same step again is safe, another one is
    refused with PositionConflict if it was.
    """

    def __init__(self, wire: AsyncWire, calls: SessionCalls) -> None:
        self._wire = wire
        self._calls = calls
        self._turn: Turn[AsyncStream] = Turn()

    def __repr__(self) -> str:
        return f"<AsyncSession {self.id} of {self.model.name} at {self.position}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def id(self) -> str:
        """What to give `AsyncClient.attach` to go on with this session."""
        return self._calls.id

    @property
    def model(self) -> ModelInfo:
        """The model that it runs."""
        return self._calls.codec.model

    @property
    def position(self) -> int:
        """The time steps it has consumed, as far as this client knows."""
        return self._calls.position

    @overload
    async def step(
        self, inputs: Inputs, *, return_state: Literal[False] = ..., commit: bool = ...
    ) -> Outputs: ...
    @overload
    async def step(
        self, inputs: Inputs, *, return_state: Literal[True], commit: bool = ...
    ) -> Stepped: ...
    async def step(
        self, inputs: Inputs, *, return_state: bool = False, commit: bool = True
    ) -> Outputs | Stepped:
        """Feed the next time steps, `[T, F...]` (`[T]` for token ids), and get their outputs,
        `[T, O...]` or `[O...]`; with `return_state` a Stepped. As `Session.step`.
        """
        return await self._run(self._calls.step(inputs, return_state=return_state, commit=commit))

    def stream(
        self, inputs: Iterable[Inputs] | AsyncIterable[Inputs], *, ahead: int = MAX_AHEAD
    ) -> AsyncStream:
        """An asynchronous iterator of outputs, one for each of the inputs, which are as in `step`
        and come from an iterable of either kind.

        Over one WebSocket, up to `ahead` frames without an answer. Each output is given as soon as
        it is there, also while an asynchronous iterable has no further input yet.

        A loop that is left early does not end the stream; its `async with` does, or another call on
        the session, and then `position` is behind all that was sent. An input that does not fit, or
        an error of `inputs` itself, is raised after the outputs of what came before it.
        """
        return AsyncStream(self._wire, self._calls, self._turn, inputs, ahead)

    async def info(self) -> SessionInfo:
        """The session as the server has it; its position is this client's from now on."""
        return await self._run(self._calls.info())

    async def state(self) -> dict[str, Array]:
        """The state by name, without the batch axis; an LSTM's h and c are `[L, H]`."""
        return await self._run(self._calls.state())

    async def set_state(
        self, state: Mapping[str, npt.ArrayLike], position: int | None = None
    ) -> SessionInfo:
        """Write the whole state; `position`, if given, is where the session stands with it."""
        return await self._run(self._calls.set_state(state, position))

    async def reset(self) -> SessionInfo:
        """Back to position 0 and the model's initial state."""
        return await self._run(self._calls.reset())

    def fork(self, session_id: str | None = None, *, ttl_s: float | None = None) -> "Opening":
        """A copy of the session as it stands; to be awaited, or entered with `async with`."""
        ids = None if session_id is None else [session_id]

        async def make() -> AsyncSession:
            return (await self._forked(self._calls.fork(ids, 1, ttl_s)))[0]

        return Opening(make)

    async def forks(
        self, ids_or_count: Sequence[str] | int, *, ttl_s: float | None = None
    ) -> "list[AsyncSession]":
        """Several copies, all or none; at most 1,000."""
        if isinstance(ids_or_count, int):
            return await self._forked(self._calls.fork(None, ids_or_count, ttl_s))
        return await self._forked(self._calls.fork(ids_or_count, len(ids_or_count), ttl_s))

    async def delete(self) -> None:
        """End the session; its state is gone."""
        await self._run(self._calls.delete())

    async def aclose(self) -> None:
        """What leaving the context manager does: delete the session if nobody else was told its id.
        Where that cannot be done within some seconds, its time to live does it.
        """
        with self._turn.taken():
            await self._finish_stream(LEAVE_S)
            await self._wire.run(self._calls.leave())

    async def _run(self, plan: Plan[T]) -> T:
        with self._turn.taken():
            if self._turn.stream is not None:
                await self._finish_stream()
            return await self._wire.run(plan)

    async def _forked(self, plan: Plan[list[SessionCalls]]) -> "list[AsyncSession]":
        return [AsyncSession(self._wire, calls) for calls in await self._run(plan)]

    async def _finish_stream(self, within_s: float | None = None) -> None:
        stream = self._turn.stream
        if stream is not None:
            await stream.finish(Life.INTERRUPTED, within_s)


class Opening:
    """A session that is opened when it is awaited, or entered with `async with`."""

    def __init__(self, make: Callable[[], Awaitable[AsyncSession]]) -> None:
        self._make = make
        self._session: AsyncSession | None = None

    def __repr__(self) -> str:
        return f"<Opening {self._session!r}>"

    def __await__(self) -> Generator[Any, Any, AsyncSession]:
        return self._make().__await__()

    async def __aenter__(self) -> AsyncSession:
        self._session = await self._make()
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.aclose()
