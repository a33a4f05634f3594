"""One session as its client knows it, where it stands, and the calls on it as plans."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from carousel_client.codec import SAFETENSORS, Codec, Inputs, Outputs
from carousel_client.document import expecting
from carousel_client.endpoint import Endpoint
from carousel_client.errors import (
    BadAnswer,
    CarouselError,
    ReplyNotKept,
    SessionExists,
    SessionExpired,
    SessionNotFound,
)
from carousel_client.model import Array
from carousel_client.plan import Plan, ask, document_of
from carousel_client.retry import Retry
from carousel_client.session_info import POSITION, SessionInfo, position_of, read_session

# Who leaves a session waits about twice this at most: no attempt to end it begins later, and none
# lasts longer.
LEAVE_S = 2.5
_REPLAYED = "carousel-replayed"


@dataclass(frozen=True, slots=True)
class Stepped:
    """The answer to `step` with `return_state`: outputs, state after the step, the position then,
    and whether it is the answer to an attempt before that was lost on its way back.
    """

    outputs: Outputs
    state: dict[str, Array]
    position: int
    replayed: bool


class SessionCalls:
    """Every step says where it starts, so one that is sent again is never done twice.

    `position`: where the session stands as far as this client knows. `owned`: nobody else was told
    the session's id. `is_unsure`: what was sent last may have moved the session further; the next
    step asks first.
    """

    def __init__(
        self, endpoint: Endpoint, codec: Codec, session_id: str, *, position: int, owned: bool
    ) -> None:
        self.id = session_id
        self.codec = codec
        self.position = position
        self.owned = owned
        self.is_unsure = False
        self._endpoint = endpoint
        self._retry = endpoint.retry
        self._url = endpoint.at("v1", "sessions", session_id)
        self._steps_url = httpx.URL(f"{self._url}/steps")
        self._raw_headers = endpoint.headers.copy()
        self._raw_headers["Content-Type"] = codec.raw_media
        if not codec.is_raw:
            self._raw_headers["Accept"] = SAFETENSORS

    def __repr__(self) -> str:
        return f"<SessionCalls {self.id} at {self.position}>"

    def step(self, inputs: Inputs, *, return_state: bool, commit: bool) -> Plan[Outputs | Stepped]:
        """Feed the next time steps. `commit=False` only looks: the session stays where it is."""
        sent = self.codec.encode(inputs)
        if self.is_unsure:
            yield from self.info()
        headers = self._raw_headers.copy()
        if sent.media is not self.codec.raw_media:
            headers["Content-Type"] = sent.media
        headers[POSITION] = str(self.position)
        url = self._steps_url
        if return_state or not commit:
            url = _with_flags(url, return_state=return_state, commit=commit)
            headers["Accept"] = SAFETENSORS
        request = httpx.Request("POST", url, headers=headers, content=sent.content)
        try:
            response = yield from ask(request, self._retry)
        except ReplyNotKept as error:
            # It was done: the next step starts behind it.
            if error.position == self.position + sent.num_steps:
                self.position = error.position
            raise
        return self._take(response, return_state=return_state, commit=commit)

    def info(self) -> Plan[SessionInfo]:
        """The session as the server has it; its position is this client's from now on."""
        request = self._endpoint.request("GET", self._url)
        return self._adopt((yield from ask(request, self._retry)))

    def state(self) -> Plan[dict[str, Array]]:
        """The state by name; `position` is then the one that belongs to it."""
        request = self._endpoint.request(
            "GET", f"{self._url}/state", headers={"Accept": SAFETENSORS}
        )
        response = yield from ask(request, self._retry)
        self.position, self.is_unsure = position_of(response), False
        return self.codec.decode(SAFETENSORS, response.content).state or {}

    def set_state(
        self, state: Mapping[str, npt.ArrayLike], position: int | None
    ) -> Plan[SessionInfo]:
        """Write the state and where it stands."""
        if position is None and self.is_unsure:
            yield from self.info()
        at = self.position if position is None else position
        request = self._endpoint.request(
            "PUT",
            f"{self._url}/state",
            content=self.codec.write_state(state),
            headers={"Content-Type": SAFETENSORS, POSITION: str(at)},
        )
        return self._adopt((yield from ask(request, self._retry)))

    def reset(self) -> Plan[SessionInfo]:
        """Back to position 0 and the initial state."""
        request = self._endpoint.request("POST", f"{self._url}/reset")
        return self._adopt((yield from ask(request, self._retry)))

    def fork(
        self, session_ids: Sequence[str] | None, count: int, ttl_s: float | None
    ) -> Plan[list["SessionCalls"]]:
        """Copies of the session, all or none. The client draws the ids where none are given."""
        ids = list(session_ids or (secrets.token_hex(16) for _ in range(count)))
        body = {"session_ids": ids} | ({} if ttl_s is None else {"ttl_s": ttl_s})
        request = self._endpoint.request("POST", f"{self._url}/fork", json=body)
        try:
            copies = _copies(document_of((yield from ask(request, self._retry))), ids)
        except SessionExists as error:
            if not error.after_loss:
                raise
            try:
                copies = _copies(error.fields, ids)
            except BadAnswer:
                raise error from None
        owned = session_ids is None
        return [
            SessionCalls(
                self._endpoint, self.codec, info.session_id, position=info.position, owned=owned
            )
            for info in copies
        ]

    def delete(self, retry: Retry | None = None, timeout_s: float | None = None) -> Plan[None]:
        """End the session; `timeout_s` is for one attempt."""
        request = self._endpoint.request("DELETE", self._url, timeout_s=timeout_s)
        try:
            yield from ask(request, retry or self._retry)
        except (SessionNotFound, SessionExpired) as error:
            if not error.after_loss:
                raise

    def leave(self) -> Plan[None]:
        """End the session if nobody else was told its id. Where that cannot be done soon, its time
        to live does it.
        """
        if self.owned:
            self.owned = False
            with suppress(CarouselError):
                yield from self.delete(Retry(min(LEAVE_S, self._retry.total_s)), LEAVE_S)

    def is_new(self, model: str, position: int, state: Mapping[str, Array] | None) -> Plan[bool]:
        """Whether the session is what opening it so would have made."""
        if self.codec.model.name != model or self.position != position:
            return False
        if state is None:
            return True
        found = yield from self.state()
        return self.position == position and all(
            np.array_equal(found[name], each, equal_nan=each.dtype.kind == "f")
            for name, each in state.items()
        )

    def _take(
        self, response: httpx.Response, *, return_state: bool, commit: bool
    ) -> Outputs | Stepped:
        headers = response.headers
        found = self.codec.decode(headers.get("content-type", ""), response.content)
        position = position_of(response)
        if commit:
            self.position = position
        if not return_state:
            return found.outputs
        return Stepped(found.outputs, found.state or {}, position, _REPLAYED in headers)

    def _adopt(self, response: httpx.Response) -> SessionInfo:
        info = read_session(document_of(response))
        self.position, self.is_unsure = info.position, False
        return info


@expecting("the copies of the session")
def _copies(document: Mapping[str, Any], ids: Sequence[str]) -> list[SessionInfo]:
    copies = [read_session(each) for each in document["sessions"]]
    if {each.session_id for each in copies} != set(ids):
        raise ValueError
    return copies


def _with_flags(url: httpx.URL, *, return_state: bool, commit: bool) -> httpx.URL:
    return url.copy_with(
        params={"return_state": str(return_state).lower(), "commit": str(commit).lower()}
    )
