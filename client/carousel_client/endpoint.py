"""Where the server is, and how it is asked: addresses, the key, requests ready to send."""

import json as json_format
import ssl
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from carousel_client.codec import JSON
from carousel_client.retry import Retry

_CONNECT_S = 10.0
_MAX_LABEL = 63


def user_agent() -> str:
    """How this client names itself."""
    try:
        return f"carousel-client/{version('carousel-client')}"
    except PackageNotFoundError:
        return "carousel-client"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server. `url` may have a path, as behind a proxy; `timeout_s` is for one attempt, `retry`
    for all of a call; `ssl_context` replaces the usual trust in certificates.
    """

    url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    retry: Retry
    ssl_context: ssl.SSLContext | None = None
    headers: httpx.Headers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise ValueError(f"url: {self.url!r} given; expected http://host:port or https://host")
        object.__setattr__(self, "url", self.url.rstrip("/"))
        headers = httpx.Headers({"User-Agent": user_agent(), "Accept-Encoding": "identity"})
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        object.__setattr__(self, "headers", headers)

    @property
    def timeout(self) -> httpx.Timeout:
        """How long one attempt may take; a connection that cannot be made is given up earlier."""
        return self._timeout(self.timeout_s)

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """How certificates are checked. For plain HTTP there are none, and to get ready for them
        would take longer than many steps.
        """
        return self.ssl_context if self.ssl_context is not None else self.url.startswith("https:")

    @property
    def limits(self) -> httpx.Limits:
        """As many connections as there are callers, kept while the server keeps them."""
        return httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=60.0
        )

    @property
    def stream_headers(self) -> dict[str, str]:
        """What a stream is opened with beside its own headers."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}

    def at(self, *parts: str) -> str:
        """The address of a path; parts are quoted, so that a name never becomes two of them."""
        return self.url + "".join("/" + quote(each, safe="") for each in parts)

    def stream_at(self, *parts: str) -> str:
        """The address of a WebSocket."""
        return "ws" + self.at(*parts).removeprefix("http")

    def request(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        content: bytes | None = None,
        json: Any = None,
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Request:
        """A request; `json` is a body in place of `content`, `timeout_s` a shorter time than for
        others.
        """
        sent = self.headers.copy()
        if json is not None:
            content = json_format.dumps(json, separators=(",", ":"), allow_nan=False).encode()
            sent["Content-Type"] = JSON
        if headers is not None:
            sent.update(headers)
        request = httpx.Request(method, url, headers=sent, content=content)
        if timeout_s is not None:
            timeout = self._timeout(min(timeout_s, self.timeout_s))
            request.extensions["timeout"] = timeout.as_dict()
        return request

    def _timeout(self, timeout_s: float) -> httpx.Timeout:
        return httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S))


def _is_address(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        httpx.URL(url)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except (ValueError, httpx.InvalidURL):
        return False
    # Such parts of a name cannot be looked up, and Python has no error of the network for it.
    named = all(0 < len(each) <= _MAX_LABEL for each in host.removesuffix(".").split("."))
    more = parts.query or parts.fragment
    return parts.scheme in ("http", "https") and named and port != 0 and not more
