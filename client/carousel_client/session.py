"""A session, whose hidden state the server keeps from step to step."""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self, overload

import numpy.typing as npt

from carousel_client.codec import Inputs, Outputs
from carousel_client.flow import Flow
from carousel_client.model import Array, ModelInfo
from carousel_client.pipeline import MAX_AHEAD
from carousel_client.plan import Plan, T
from carousel_client.session_calls import LEAVE_S, SessionCalls, Stepped
from carousel_client.session_info import SessionInfo
from carousel_client.stream import Stream
from carousel_client.turn import Life, Turn
from carousel_client.wire import Wire


class Session:
    """Made by `Client.session`, `Client.attach` and `fork`. T time steps, F features, O outputs.

    A session is one sequence in order, so it makes one call at a time: a second one, from another
    thread, is refused with RuntimeError. Threads have a session each; the client they share.

    As a context manager it is deleted at the end if it was opened without an id: nobody else was
    told of it. One that has a given id, or was attached to, stays until its time to live is over.
    """

    def __init__(self, wire: Wire, calls: SessionCalls) -> None:
        self._wire = wire
        self._calls = calls
        self._turn: Turn[Flow] = Turn()

    def __repr__(self) -> str:
        return f"<Session {self.id} of {self.model.name} at {self.position}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """What to give `Client.attach` to go on with this session, also from another process."""
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
    def step(
        self, inputs: Inputs, *, return_state: Literal[False] = ..., commit: bool = ...
    ) -> Outputs: ...
    @overload
    def step(
        self, inputs: Inputs, *, return_state: Literal[True], commit: bool = ...
    ) -> Stepped: ...
    def step(
        self, inputs: Inputs, *, return_state: bool = False, commit: bool = True
    ) -> Outputs | Stepped:
        """Feed the next time steps, `[T, F...]` (`[T]` for token ids), and get their outputs,
        `[T, O...]`, or `[O...]` where the model answers once for all of them. Several inputs or
        outputs are an object of arrays by name.

        With `return_state` it is a Stepped, which has the state after the step too. With
        `commit=False` the session stays where it was. An answer that got lost is asked for again
        and the step never done twice. Raises CarouselError; `position` then is what it was, and the
        same step may be tried again, but after ReplyNotKept, for a step that was done.
        """
        return self._run(self._calls.step(inputs, return_state=return_state, commit=commit))

    def stream(self, inputs: Iterable[Inputs], *, ahead: int = MAX_AHEAD) -> Stream:
        """An iterator of outputs, one for each of the inputs, which are as in `step`.

        Over one WebSocket, without waiting for an answer before the next is sent: up to `ahead`
        frames are taken from `inputs` before the first output comes. For live input that is too
        late; there `ahead=1` gives each output before it takes the next.

        Who leaves the loop early finds `position` behind all that was sent. An input that does not
        fit, or an error of `inputs` itself, is raised after the outputs of what came before it.
        """
        return Stream(Flow(self._wire, self._calls, self._turn, inputs, ahead))

    def info(self) -> SessionInfo:
        """The session as the server has it. Its position is this client's from now on, also where
        another client has moved it.
        """
        return self._run(self._calls.info())

    def state(self) -> dict[str, Array]:
        """The state by name, without the batch axis; an LSTM's h and c are `[L, H]`. As with
        `info`, `position` is the one that belongs to it.
        """
        return self._run(self._calls.state())

    def set_state(
        self, state: Mapping[str, npt.ArrayLike], position: int | None = None
    ) -> SessionInfo:
        """Write the whole state; `position`, if given, is where the session stands with it."""
        return self._run(self._calls.set_state(state, position))

    def reset(self) -> SessionInfo:
        """Back to position 0 and the model's initial state."""
        return self._run(self._calls.reset())

    def fork(self, session_id: str | None = None, *, ttl_s: float | None = None) -> "Session":
        """A copy of the session as it stands."""
        ids = None if session_id is None else [session_id]
        return self._forked(self._calls.fork(ids, 1, ttl_s))[0]

    def forks(
        self, ids_or_count: Sequence[str] | int, *, ttl_s: float | None = None
    ) -> "list[Session]":
        """Several copies, all or none; at most 1,000."""
        if isinstance(ids_or_count, int):
            return self._forked(self._calls.fork(None, ids_or_count, ttl_s))
        return self._forked(self._calls.fork(ids_or_count, len(ids_or_count), ttl_s))

    def delete(self) -> None:
        """End the session; its state is gone."""
        self._run(self._calls.delete())

    def close(self) -> None:
        """What leaving the context manager does: delete the session if nobody else was told its id.
        Where that cannot be done within some seconds, its time to live does it.
        """
        with self._turn.taken():
            self._finish_stream(LEAVE_S)
            self._wire.run(self._calls.leave())

    def _run(self, plan: Plan[T]) -> T:
        with self._turn.taken():
            if self._turn.stream is not None:
                self._finish_stream()
            return self._wire.run(plan)

    def _forked(self, plan: Plan[list[SessionCalls]]) -> "list[Session]":
        return [Session(self._wire, calls) for calls in self._run(plan)]

    def _finish_stream(self, within_s: float = math.inf) -> None:
        stream = self._turn.stream
        if stream is not None:
            stream.finish(Life.INTERRUPTED, within_s)
