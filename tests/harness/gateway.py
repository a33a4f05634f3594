"""An HTTP gateway in front of a service, which says things of its own in place of answers."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import httpx

from tests.harness.process import PATIENCE_S

_ITS_OWN = frozenset({"host", "connection", "content-length", "transfer-encoding", "date"})


@dataclass(frozen=True, slots=True)
class Said:
    """What the gateway answers with."""

    status: int
    body: bytes = b"<html>gateway</html>"
    headers: Mapping[str, str] = field(default_factory=dict)


class Gateway:
    """Passes requests on to `url` over HTTP; its own address is `url`. No WebSockets."""

    def __init__(self, url: str) -> None:
        self._upstream = url
        self._said: Said | None = None
        self._is_passed_on = False
        self._method = ""
        self._hangs = False
        self._released = threading.Event()
        self.num_struck = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __repr__(self) -> str:
        return f"<Gateway {self.url} to {self._upstream} struck={self.num_struck}>"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join(PATIENCE_S)
        self._server.server_close()

    def lose(self, said: Said, method: str) -> None:
        """The next request of this method is done, and its answer replaced."""
        self._said, self._is_passed_on, self._method = said, True, method

    def answer(self, said: Said) -> None:
        """The next request is answered with this and not passed on."""
        self._said, self._is_passed_on, self._method = said, False, ""

    def hang(self) -> None:
        """From now on nothing is passed on or answered."""
        self._hangs = True

    def _reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Said:
        if self._hangs:
            self._released.wait(PATIENCE_S * 4)
        said = self._said
        is_struck = said is not None and self._method in ("", method)
        if is_struck:
            self._said, self.num_struck = None, self.num_struck + 1
        if said is not None and is_struck and not self._is_passed_on:
            return said
        answer = httpx.request(method, self._upstream + path, content=body, headers=headers)
        if said is not None and is_struck:
            return said
        return Said(answer.status_code, answer.content, _passed_on(answer.headers))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *_: object) -> None:
                """Tests print nothing."""

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = _passed_on(dict(self.headers.items()))
                said = gateway._reply(self.command, self.path, headers, body)
                try:
                    self._send(said)
                except OSError:
                    self.close_connection = True

            do_POST = do_PUT = do_DELETE = do_GET

            def _send(self, said: Said) -> None:
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

        return Handler


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _ITS_OWN}
