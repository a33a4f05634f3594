"""One connection to a running service: calls out, answers or failures back."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from types import TracebackType
from typing import Any, BinaryIO, Self

from carousel.service.admin.address import Address
from carousel.service.admin.failure import Failure, Refused, Unreachable, visible
from carousel.service.admin.reply import Reply, told

_PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as a request's body, sent piece by piece from where it stands."""

    file: BinaryIO
    num_bytes: int
    media_type: str


class Client:
    """Calls by the wire contract. `timeout_s` bounds each wait for the network."""

    def __init__(self, address: Address, key: str, timeout_s: float) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._connection = kind(address.host, address.port, timeout=timeout_s)

    def __repr__(self) -> str:
        return f"<Client {self.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | Upload | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON, None where it has no body; raises Refused, Unreachable."""
        with self.open(method, path, body, headers) as reply:
            data = reply.read_all()
        return self._parse(data) if data else None

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | Upload | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Reply]:
        """A successful answer whose body is yet to be read; raises Refused, Unreachable."""
        try:
            reply = self._send(method, path, body, headers or {})
            if reply.status // 100 != 2:
                raise self._refusal(reply)
            yield reply
        except BaseException:
            # What is left of this answer must not be taken for the next one.
            self._connection.close()
            raise

    def foreign(self, what: str) -> Unreachable:
        """The failure that what answers is not Carousel."""
        return Unreachable(f"{self.address} does not answer as Carousel does: {visible(what)}")

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | Upload | None,
        headers: Mapping[str, str],
    ) -> Reply:
        fields = {"Accept": "application/json"} | self._headers | dict(headers)
        content: BinaryIO | bytes | None = None
        if isinstance(body, Upload):
            fields |= {"Content-Type": body.media_type, "Content-Length": str(body.num_bytes)}
            content = body.file
        elif body is not None:
            fields["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        target = self.address.prefix + path
        with told(str(self.address)):
            is_reused = self._connection.sock is not None
            try:
                return self._exchange(method, target, content, fields)
            except (BrokenPipeError, ConnectionResetError):
                # A server may end an idle connection at any time; asking again changes nothing.
                if not is_reused or method != "GET":
                    raise
                self._connection.close()
                return self._exchange(method, target, content, fields)

    def _exchange(
        self, method: str, target: str, content: BinaryIO | bytes | None, fields: dict[str, str]
    ) -> Reply:
        try:
            self._connection.request(method, target, content, fields)
        except (BrokenPipeError, ConnectionResetError):
            # A service that refuses a body may not take the rest of it; its answer is there.
            if self._connection.sock is None:
                raise
        return Reply(self._connection.getresponse(), str(self.address))

    def _refusal(self, reply: Reply) -> Failure:
        """The failure that an answer other than 2xx is."""
        kind = reply.header("Content-Type").partition(";")[0].strip()
        if kind != _PROBLEM:
            to = reply.header("Location")
            return self.foreign(
                f"status {reply.status}, {kind or 'no content type'}" + (f", to {to}" if to else "")
            )
        problem = self._parse(reply.read_all())
        if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
            return self.foreign(f"status {reply.status} with a problem that has no code")
        detail, hint = str(problem.get("detail", "")), problem.get("hint")
        return Refused(reply.status, problem["code"], detail, None if hint is None else str(hint))

    def _parse(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise self.foreign("its answer is not JSON") from None
