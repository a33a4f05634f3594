"""The sessions of a server by their ids, as plans: nothing is opened for them, nor attached to."""

from urllib.parse import urlencode

import numpy as np

from carousel_client.codec import SAFETENSORS
from carousel_client.document import expecting, text
from carousel_client.endpoint import Endpoint
from carousel_client.errors import (
    BadAnswer,
    PreconditionFailed,
    SessionExpired,
    SessionNotFound,
)
from carousel_client.plan import Plan, ask, document_of
from carousel_client.session_info import (
    POSITION,
    SessionInfo,
    SessionPage,
    position_of,
    read_session,
)
from carousel_client.session_state import SessionState

MAX_PAGE = 1000


class Directory:
    """Lists, shows, reads, writes and deletes sessions. May be shared between threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __repr__(self) -> str:
        return f"<Directory {self._endpoint.url}>"

    def page(self, model: str | None, after: str | None, limit: int) -> Plan[SessionPage]:
        """The next sessions in order of id."""
        query = {"limit": str(limit), "model": model, "after": after}
        named = {name: value for name, value in query.items() if value is not None}
        url = f"{self._endpoint.at('v1', 'sessions')}?{urlencode(named)}"
        response = yield from ask(self._endpoint.request("GET", url), self._endpoint.retry)
        document = document_of(response)
        with expecting("the sessions"):
            found = [read_session(each) for each in document["sessions"]]
            follows = None if document["next"] is None else text(document["next"])
        # One that leads nowhere new would be asked for without end.
        if follows is not None and follows == after:
            raise BadAnswer("a page of sessions leads to itself")
        return SessionPage(found, follows)

    def all(self, model: str | None) -> Plan[list[SessionInfo]]:
        """Every live session, or those of a model."""
        found: list[SessionInfo] = []
        after: str | None = None
        while True:
            page = yield from self.page(model, after, MAX_PAGE)
            found += page.sessions
            after = page.next
            if after is None:
                return found

    def info(self, session_id: str) -> Plan[SessionInfo]:
        """Where a session stands."""
        request = self._endpoint.request("GET", self._at(session_id))
        return read_session(document_of((yield from ask(request, self._endpoint.retry))))

    def state(self, session_id: str) -> Plan[SessionState]:
        """A session's state."""
        request = self._endpoint.request(
            "GET", self._at(session_id, "state"), headers={"Accept": SAFETENSORS}
        )
        response = yield from ask(request, self._endpoint.retry)
        media = response.headers.get("content-type", "")
        if media != SAFETENSORS:
            raise BadAnswer(f"the answer is {media or 'of no type'}; expected a state")
        return SessionState(response.content, position_of(response), response.headers.get("etag"))

    def set_state(
        self, session_id: str, state: SessionState, if_match: str | None
    ) -> Plan[SessionInfo]:
        """Write a state and where it stands."""
        headers = {"Content-Type": SAFETENSORS, POSITION: str(state.position)}
        request = self._endpoint.request(
            "PUT",
            self._at(session_id, "state"),
            content=state.content,
            headers=headers | _condition(if_match),
        )
        try:
            return read_session(document_of((yield from ask(request, self._endpoint.retry))))
        except PreconditionFailed as error:
            # An attempt before this one may be what moved the session on.
            if not error.after_loss or not (yield from self._is_at(session_id, state)):
                raise
        return (yield from self.info(session_id))

    def delete(self, session_id: str, if_match: str | None) -> Plan[None]:
        """End a session."""
        request = self._endpoint.request(
            "DELETE", self._at(session_id), headers=_condition(if_match)
        )
        try:
            yield from ask(request, self._endpoint.retry)
        except (SessionNotFound, SessionExpired) as error:
            if not error.after_loss:
                raise

    def _is_at(self, session_id: str, state: SessionState) -> Plan[bool]:
        there = yield from self.state(session_id)
        found, wanted = there.arrays(), state.arrays()
        return (
            there.position == state.position
            and found.keys() == wanted.keys()
            and all(np.array_equal(found[name], each) for name, each in wanted.items())
        )

    def _at(self, session_id: str, *parts: str) -> str:
        return self._endpoint.at("v1", "sessions", session_id, *parts)


def _condition(if_match: str | None) -> dict[str, str]:
    return {} if if_match is None else {"If-Match": if_match}
