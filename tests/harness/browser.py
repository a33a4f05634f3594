"""A headless Chromium, driven by its own debugging protocol."""

import base64
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.harness.process import PATIENCE_S, Process

PROGRAM = "chromium"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    "--remote-debugging-port=0",
)


@dataclass
class Frames:
    """The binary frames of one of the page's connections, each (T, F) or (T, O)."""

    sent: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)


class Page:
    """A page of a browser, driven by its own debugging protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """The result of a command; events that come before it are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=2 * PATIENCE_S))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Return once an expression is true in the page."""
        done = self.run(
            f"""new Promise((resolve) => {{
                const end = Date.now() + {PATIENCE_S * 1000};
                const look = () => {{
                    const found = Boolean({condition});
                    if (found || Date.now() > end) resolve(found); else setTimeout(look, 20);
                }};
                look();
            }})"""
        )
        assert done, f"{condition}: {self.text('status')!r}, {self.text('steps')} steps"

    def open(self, url: str) -> None:
        """Go there, and wait until it has asked for the models."""
        self.call("Page.navigate", url=url)
        status = "document.getElementById('status')?.textContent"
        self.wait_for(f"document.readyState === 'complete' && {status} !== 'asking for models'")

    def choose(self, element: str, value: str) -> None:
        """Fill in a field as somebody would."""
        chosen = f"document.getElementById({element!r})"
        self.run(f"{chosen}.value = {value!r}; {chosen}.dispatchEvent(new Event('change'))")

    def click(self, element: str) -> None:
        """Press a button."""
        self.run(f"document.getElementById({element!r}).click()")

    def text(self, element: str) -> str:
        """What an element says."""
        return str(self.run(f"document.getElementById({element!r}).textContent"))

    def wait_for_steps(self, count: int) -> None:
        """Return once so many steps are answered."""
        self.wait_for(f"Number(document.getElementById('steps').textContent) >= {count}")

    def wait_for_status(self, words: str) -> None:
        """Return once the status holds these words."""
        self.wait_for(f"document.getElementById('status').textContent.includes({words!r})")

    def frames(self) -> list[Frames]:
        """The binary frames so far, by connection."""
        found: dict[str, Frames] = {}
        for each in self.events:
            kind = each["method"].removeprefix("Network.webSocketFrame")
            if kind not in ("Sent", "Received") or each["params"]["response"]["opcode"] != 2:
                continue
            frames = found.setdefault(each["params"]["requestId"], Frames())
            data = base64.b64decode(each["params"]["response"]["payloadData"])
            (frames.sent if kind == "Sent" else frames.received).append(data)
        return list(found.values())

    def faults(self) -> list[Any]:
        """What the page's console complains of."""
        return [
            each
            for each in self.events
            if each["method"] == "Runtime.exceptionThrown"
            or (each["method"] == "Log.entryAdded" and each["params"]["entry"]["level"] == "error")
        ]


@contextmanager
def started() -> Iterator[str]:
    """The address of the debugging port of a browser that was started for this."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Proxies and displays of whoever runs the tests are not the browser's.
        command = ["env", "-i", f"HOME={folder}", "PATH=/usr/bin:/bin", PROGRAM, *FLAGS]
        with Process([*command, f"--user-data-dir={folder}", "about:blank"]) as process:
            line = process.wait_for("DevTools listening on")
            address = re.search(r"ws://([^/]+)/\S+", line)
            assert address is not None
            yield f"http://{address[1]}"
            with connect(address[0], compression=None) as socket:
                socket.send('{"id": 1, "method": "Browser.close"}')
            process.wait()


@contextmanager
def opened(browser: str) -> Iterator[Page]:
    """A new page of a browser."""
    target = httpx.put(f"{browser}/json/new?about:blank", timeout=PATIENCE_S).json()
    url = target["webSocketDebuggerUrl"]
    options: dict[str, Any] = {"compression": None, "max_size": None, "close_timeout": 1.0}
    with connect(url, open_timeout=PATIENCE_S, **options) as socket:
        yield Page(socket)
        httpx.get(f"{browser}/json/close/{target['id']}", timeout=PATIENCE_S)
