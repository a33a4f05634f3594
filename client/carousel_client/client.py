"""The client: models, whole sequences, and sessions."""

import ssl
from types import TracebackType
from typing import Any, Literal, Self, overload

from carousel_client.calls import Calls, Inferred, State, sequences_of
from carousel_client.directory import MAX_PAGE, Directory
from carousel_client.endpoint import Endpoint
from carousel_client.many import Head, SteppedMany
from carousel_client.model import ModelInfo
from carousel_client.retry import Retry
from carousel_client.session import Session
from carousel_client.session_info import SessionInfo, SessionPage
from carousel_client.session_state import SessionState
from carousel_client.wire import Wire

TIMEOUT_S = 35.0
RETRY_S = 60.0


class Client:
    """A server at `url` (`http://host:port`, or with a path behind a proxy).

        client = Client("http://127.0.0.1:8000")
        with client.session("lstm-10-20-2") as session:
            y = session.step(x)  # [T, F] -> [T, O]

    `timeout_s` is how long one attempt may stay without an answer: by default longer than the
    server's own deadline. Lost connections, 429, 502, 503 and 504 are tried again, with growing
    waits, until `retry_s` after the first attempt; 0 tries once. So a call may last for both
    together; the logger `carousel_client` tells of each retry at level INFO. `ssl_context` replaces
    the usual trust in certificates.

    What goes wrong is a CarouselError; `carousel_client.errors` has them all.

    A client may be shared by threads; each of its sessions belongs to one.
    """

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
        self._wire = Wire(endpoint)
        self._calls = Calls(endpoint)
        self._directory = Directory(endpoint)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._wire.endpoint.url

    def __repr__(self) -> str:
        return f"<Client {self._wire.endpoint.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections; sessions stay on the server."""
        self._wire.close()

    def models(self) -> list[ModelInfo]:
        """Every model at its highest version."""
        return self._wire.run(self._calls.models())

    def model(self, name: str, version: int | None = None) -> ModelInfo:
        """One model; its highest version unless another is named."""
        return self._wire.run(self._calls.model(name, version))

    @overload
    def infer(
        self,
        model: str,
        sequences: Any,
        states: Any = ...,
        *,
        return_state: Literal[False] = ...,
        version: int | None = ...,
    ) -> Any: ...
    @overload
    def infer(
        self,
        model: str,
        sequences: Any,
        states: Any = ...,
        *,
        return_state: Literal[True],
        version: int | None = ...,
    ) -> Inferred: ...
    def infer(
        self,
        model: str,
        sequences: Any,
        states: Any = None,
        *,
        return_state: bool = False,
        version: int | None = None,
    ) -> Any:
        """The outputs of whole sequences; the server keeps nothing.

        An array `[T, F...]` is one sequence and gives its output, `[T, O...]`, or `[O...]` where
        there is one for the sequence as a whole. A list or tuple of arrays, whose lengths may
        differ, gives a list of outputs. Several inputs or outputs are an object of arrays by name.

        `states`: where the sequence starts, by name and without the batch axis; for a list, a list
        of states, None where the model's own start is meant. With `return_state` the answer is an
        Inferred, with outputs and state.
        """
        asked = sequences_of(sequences, states)
        return self._wire.run(self._calls.infer(model, asked, version, return_state=return_state))

    def step_many(
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
        """A step of each of many sessions of one model, each named once: columns in, columns out.

        `inputs`: `[rows, F...]`, one time step each, or `[rows, T, F...]`; with `lengths`, of rows
        that have so many, `[sum, F...]`, row after row. Several inputs are an object by name.
        `positions`: where each row starts; a row that names none (None, NaN or -1) may be sent
        once. `open` starts sessions that are not there, to live for `ttl_s`, for rows that name
        position 0 or none.

        Raises what a request as a whole is refused for; `errors` of the answer has each row's own.
        Many rows go in several requests, one after the other.
        """
        head = Head(model, version, open, ttl_s)
        return self._wire.run(self._calls.step_many(head, session_ids, inputs, positions, lengths))

    def session(
        self,
        model: str,
        *,
        session_id: str | None = None,
        ttl_s: float | None = None,
        state: State | None = None,
        position: int = 0,
        version: int | None = None,
    ) -> Session:
        """Open a session, at `state` (by name) or at the model's initial values.

        `ttl_s`: how long it may be idle. `position`: where it stands already, as one that is copied
        from elsewhere. Raises SessionExists for an id that is taken; see `attach`.
        """
        plan = self._calls.open(model, version, session_id, state, position, ttl_s)
        return Session(self._wire, self._wire.run(plan))

    def attach(self, session_id: str) -> Session:
        """Go on with a session that is there, where it stands. Raises SessionNotFound and
        SessionExpired.
        """
        return Session(self._wire, self._wire.run(self._calls.attach(session_id)))

    def sessions(self, model: str | None = None) -> list[SessionInfo]:
        """Every live session, or those of a model, in order of id."""
        return self._wire.run(self._directory.all(model))

    def sessions_page(
        self, model: str | None = None, *, after: str | None = None, limit: int = MAX_PAGE
    ) -> SessionPage:
        """The live sessions that follow the id `after`, `limit` of them at most (up to 1,000)."""
        return self._wire.run(self._directory.page(model, after, limit))

    def session_info(self, session_id: str) -> SessionInfo:
        """Where a session stands. Raises SessionNotFound and SessionExpired, as what follows."""
        return self._wire.run(self._directory.info(session_id))

    def session_state(self, session_id: str) -> SessionState:
        """A session's state to the bit, with its position and the ETag of its revision."""
        return self._wire.run(self._directory.state(session_id))

    def set_session_state(
        self, session_id: str, state: SessionState, *, if_match: str | None = None
    ) -> SessionInfo:
        """Put a session at a state and its position. With `if_match`, an ETag: only while it is at
        that revision; raises PreconditionFailed otherwise.
        """
        return self._wire.run(self._directory.set_state(session_id, state, if_match))

    def delete_session(self, session_id: str, *, if_match: str | None = None) -> None:
        """End a session; `if_match` as in `set_session_state`."""
        self._wire.run(self._directory.delete(session_id, if_match))
