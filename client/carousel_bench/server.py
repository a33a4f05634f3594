"""The server, as asked about its models and sessions beside the load; what fails is a Failure."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import httpx

from carousel_bench.failure import Failure
from carousel_bench.interrupts import held_back
from carousel_client.endpoint import Endpoint
from carousel_client.errors import (
    CarouselError,
    ConnectionLost,
    Forbidden,
    SessionExpired,
    SessionNotFound,
    Unauthorized,
)
from carousel_client.plan import ask, document_of
from carousel_client.retry import Retry
from carousel_client.wire import Wire

_TIMEOUT_S = 35.0
_RETRY_S = 2.0
_FORK = 1000
_DELETERS = 8


def endpoint_of(url: str, api_key: str | None) -> Endpoint:
    """Where a server is; raises Failure. Certificates count that count for httpx, or those of
    SSL_CERT_FILE.
    """
    if "@" in url:
        raise Failure("the address holds a user's name; a key goes into CAROUSEL_API_KEY")
    try:
        context = httpx.create_ssl_context() if url.startswith("https:") else None
        return Endpoint(url, api_key, _TIMEOUT_S, Retry(_RETRY_S), context)
    except ValueError:
        raise Failure(f"{url!r} is no address of a server; one is http://127.0.0.1:8000") from None
    except OSError as error:
        raise Failure(f"SSL_CERT_FILE cannot be read: {error}") from None


class Server:
    """Its control plane."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.endpoint = endpoint_of(url, api_key)
        self._wire = Wire(self.endpoint)

    def __repr__(self) -> str:
        return f"<Server {self.endpoint.url}>"

    def models(self) -> list[dict[str, Any]]:
        """What it says of each model; raises Failure."""
        with self._failing():
            return list(self._get("v1", "models")["models"])

    def version(self) -> str | None:
        """Its version, where it says one."""
        with suppress(CarouselError, KeyError, TypeError):
            return str(self._get("v2")["version"])
        return None

    def open(
        self, model: str, ids: Iterable[str], state: dict[str, Any], ttl_s: float
    ) -> Iterator[int]:
        """Open sessions, the first and copies of it; says how many there are as they come. Raises
        Failure.
        """
        left = iter(ids)
        first = next(left, None)
        if first is None:
            return
        body: dict[str, Any] = {"model": model, "session_id": first, "ttl_s": ttl_s}
        num_open = 1
        with self._failing():
            self._post(body | ({"state": state} if state else {}), "v1", "sessions")
            yield num_open
            while copies := list(islice(left, _FORK)):
                fork = {"session_ids": copies, "ttl_s": ttl_s}
                self._post(fork, "v1", "sessions", first, "fork")
                num_open += len(copies)
                yield num_open

    def delete(self, ids: Iterable[str]) -> None:
        """End sessions, those that are there; raises Failure at the first that cannot be."""
        with self._failing(), ThreadPoolExecutor(_DELETERS) as pool:
            try:
                for _ in pool.map(self._delete, ids):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """End its connections."""
        self._wire.close()

    def _delete(self, session_id: str) -> None:
        request = self.endpoint.request("DELETE", self.endpoint.at("v1", "sessions", session_id))
        with suppress(SessionNotFound, SessionExpired):
            self._wire.run(ask(request, self.endpoint.retry))

    def _get(self, *parts: str) -> Any:
        request = self.endpoint.request("GET", self.endpoint.at(*parts))
        return document_of(self._wire.run(ask(request, self.endpoint.retry)))

    def _post(self, body: dict[str, Any], *parts: str) -> None:
        request = self.endpoint.request("POST", self.endpoint.at(*parts), json=body)
        # What the server opens after it was asked to delete it would stay.
        with held_back():
            self._wire.run(ask(request, self.endpoint.retry))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except CarouselError as error:
            raise Failure(_told(error, self.endpoint.url)) from error
        except (KeyError, TypeError):
            raise Failure(
                f"{self.endpoint.url} does not answer as a Carousel server does"
            ) from None


def _told(error: CarouselError, url: str) -> str:
    if isinstance(error, ConnectionLost):
        return f"{url} cannot be reached: {error.detail}; is the server running?"
    if error.is_foreign:
        return f"{url} does not answer as a Carousel server does: {error.detail}"
    if isinstance(error, Unauthorized | Forbidden):
        return f"{url} wants its API key: set CAROUSEL_API_KEY ({error.detail})"
    return f"{url} refuses: {error}"
