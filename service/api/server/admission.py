"""One request, of either plane, from when it comes until it is answered."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from carousel.service.api.http.access_log import log_access
from carousel.service.api.http.answer import LAST_ANSWER, Answer
from carousel.service.api.http.lifecycle import Lifecycle, Phase
from carousel.service.api.http.problem import unexpected
from carousel.service.api.http.request_id import id_headers, request_id_of
from carousel.service.api.http.traffic import CLIENT_GONE, Traffic
from carousel.service.api.v2.fault import error_answer
from carousel.service.engine.request import Abandoned
from carousel.service.errors import CarouselError

# Sends an answer; None where nobody is there to read it.
SendAnswer = Callable[[Answer | None], None]


@dataclass(frozen=True, slots=True)
class AdmissionDesk:
    """Where requests are counted; `logs`: whether each is logged."""

    lifecycle: Lifecycle
    traffic: Traffic
    logs: bool


class Admission:
    """Says what all answers say, and counts and logs them.

    The request's headers are not kept until then: there may be thousands of requests on their way.
    `template`: the route, where it is known at once.
    """

    __slots__ = ("_desk", "_method", "_path", "_send", "_template", "named", "started")

    _send: SendAnswer

    def __init__(
        self,
        desk: AdmissionDesk,
        method: str,
        path: str,
        headers: Mapping[bytes, bytes],
        template: str = "",
    ) -> None:
        self.started = time.monotonic()
        self._desk = desk
        self._method = method
        self._path = path
        self._template = template
        self.named = id_headers(request_id_of(headers), headers)

    def __repr__(self) -> str:
        return f"<Admission {self._method} {self._path} {self.request_id}>"

    @property
    def request_id(self) -> str:
        """What the request is called."""
        return self.named[0][1].decode("ascii")

    def accept(self, send: SendAnswer) -> None:
        """A request of the data plane is whole, and is to be answered by `reply`."""
        self._send = send
        self._desk.lifecycle.accept()

    def reply(self, outcome: Answer | Exception) -> None:
        """What came of it."""
        self._desk.lifecycle.answered()
        self._send(self.finish(outcome))

    def finish(self, outcome: Answer | Exception) -> Answer | None:
        """The answer as it is sent, which is counted; None where nobody is there to read it."""
        if isinstance(outcome, Answer):
            answer = outcome
        elif isinstance(outcome, Abandoned):
            self.count(self._template, CLIENT_GONE)
            return None
        else:
            if not isinstance(outcome, CarouselError):
                outcome = unexpected(outcome, where=self._template, request_id=self.request_id)
            answer = error_answer(self._path, outcome, self.request_id, is_step=True)
        answer.headers += self.named
        if self._desk.lifecycle.phase is Phase.REFUSING:
            answer.headers.append(LAST_ANSWER)
        self.count(self._template, answer.status)
        return answer

    def count(self, template: str, status: int) -> None:
        """It was answered."""
        elapsed_s = time.monotonic() - self.started
        self._desk.traffic.count(template, status, elapsed_s)
        if self._desk.logs:
            log_access(self._method, self._path, status, elapsed_s, self.named)
