"""Sessions as the wire contract has them: what the service says of one, and the calls on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from carousel.service.admin.client import Client, Upload
from carousel.service.admin.identifier import is_id
from carousel.service.admin.reply import Reply

_TENSORS = "application/x-safetensors"
_POSITION = "Carousel-Position"
_MAX_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A SessionInfo; times are RFC 3339. `state_id` names the weights, if the service says it."""

    session_id: str
    model: str
    version: int
    position: int
    created_at: str
    last_used_at: str
    expires_at: str
    state_bytes: int
    state_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Sessions in order of id; `next` is where the list goes on, None at its end."""

    sessions: list[Session]
    next: str | None


class Sessions:
    """The sessions of a running service. Every call raises Refused or Unreachable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<Sessions {self._client!r}>"

    def pages(self, model: str | None, limit: int | None, after: str | None) -> Iterator[Page]:
        """The list, page by page; `limit` sessions at most, all of them without."""
        left = limit
        while left is None or left > 0:
            asked = _MAX_PAGE if left is None else min(left, _MAX_PAGE)
            query = {"model": model, "limit": asked, "after": after}
            named = {name: value for name, value in query.items() if value is not None}
            page = self._page(self._client.call("GET", f"/v1/sessions?{urlencode(named)}"))
            # A `next` that leads nowhere new would be asked for without end.
            if page.next is not None and page.next == after:
                raise self._client.foreign("a page that leads to itself")
            yield page
            if page.next is None:
                return
            after = page.next
            left = None if left is None else left - len(page.sessions)

    def show(self, session_id: str) -> Session:
        """Where a session stands."""
        return self._session(self._client.call("GET", _path(session_id)))

    def open(self, model: str, version: int | None, ttl_s: float) -> Session:
        """A new session under an id that the service makes."""
        body: dict[str, object] = {"model": model, "ttl_s": ttl_s}
        if version is not None:
            body["version"] = version
        return self._session(self._client.call("POST", "/v1/sessions", body))

    def fork(self, session_id: str, to: str, ttl_s: float) -> Session:
        """A copy of state and position under an id that must be free."""
        body = {"session_ids": [to], "ttl_s": ttl_s}
        made = self._client.call("POST", f"{_path(session_id)}/fork", body)
        if not isinstance(made, dict) or not isinstance(made.get("sessions"), list):
            raise self._client.foreign("a fork without sessions")
        return self._session(made["sessions"][0] if made["sessions"] else None)

    @contextmanager
    def read_state(self, session_id: str) -> Iterator[tuple[int, Reply]]:
        """The position, and the state as safetensors, yet to be read."""
        path = f"{_path(session_id)}/state"
        with self._client.open("GET", path, headers={"Accept": _TENSORS}) as reply:
            position = reply.header(_POSITION)
            if not position.isdecimal() or reply.header("Content-Type") != _TENSORS:
                raise self._client.foreign("a state without a position or not in safetensors")
            yield int(position), reply

    def write_state(
        self, session_id: str, state: BinaryIO, num_bytes: int, position: int
    ) -> Session:
        """Put a session at a state, which is a safetensors file, and a position."""
        upload = Upload(state, num_bytes, _TENSORS)
        headers = {_POSITION: str(position)}
        return self._session(
            self._client.call("PUT", f"{_path(session_id)}/state", upload, headers)
        )

    def delete(self, session_id: str) -> None:
        """End a session."""
        self._client.call("DELETE", _path(session_id))

    def _page(self, answer: Any) -> Page:
        if not isinstance(answer, dict) or not isinstance(answer.get("sessions"), list):
            raise self._client.foreign("a list without sessions")
        follows = answer.get("next")
        if follows is not None and not isinstance(follows, str):
            raise self._client.foreign("a page whose next is no text")
        return Page([self._session(each) for each in answer["sessions"]], follows)

    def _session(self, answer: Any) -> Session:
        if not isinstance(answer, dict):
            raise self._client.foreign("a session that is no object")
        values: dict[str, Any] = {}
        for name, kind in _KINDS.items():
            value = answer.get(name)
            if type(value) is not kind:
                raise self._client.foreign(f"a session without {name}")
            values[name] = value
        # An id becomes a path and the name of a file.
        if not is_id(values["session_id"]):
            raise self._client.foreign("a session whose id cannot be one")
        if not all(_is_time(values[name]) for name in _TIMES):
            raise self._client.foreign("a session whose times cannot be read")
        state_id = answer.get("state_id")
        return Session(**values, state_id=state_id if isinstance(state_id, str) else None)


_TIMES = ("created_at", "last_used_at", "expires_at")
_KINDS: dict[str, type] = {
    "session_id": str,
    "model": str,
    "version": int,
    "position": int,
    "state_bytes": int,
} | dict.fromkeys(_TIMES, str)


def _path(session_id: str) -> str:
    return f"/v1/sessions/{quote(session_id, safe='')}"


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
