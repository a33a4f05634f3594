"""The client that flags and environment name: address, key, patience; and its errors in a line."""

import argparse
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from carousel.service.admin.failure import Failure, Unreachable, Usage
from carousel.service.admin.flags import DEFAULT_TIMEOUT_S, DEFAULT_URL
from carousel_client import Client
from carousel_client.errors import CarouselError, ConnectionLost

_URL = "CAROUSEL_URL"
_KEY = "CAROUSEL_API_KEY"
_KEY_FILE = "CAROUSEL_API_KEY_FILE"
# For a connection that breaks; a service that is away is said to be so a second later.
_RETRY_S = 1.0
# 401, 403: the key. 429: the store is full. 503: draining, or the store is away.
_FOR_ALL = (401, 403, 429, 503)


def connect(options: argparse.Namespace, environ: Mapping[str, str]) -> Client:
    """A client, which connects at its first call; raises Usage."""
    url = options.url or environ.get(_URL) or DEFAULT_URL
    timeout_s = DEFAULT_TIMEOUT_S if options.timeout is None else options.timeout
    # An operator's own authorities count, as for other programs of the machine; and the service is
    # asked itself, whatever proxy is there for the rest of the world.
    trust = ssl.create_default_context() if url.startswith("https:") else None
    os.environ["NO_PROXY"] = "*"
    key = _key(options.api_key_file, environ) or None
    try:
        if not url.isascii() or "@" in url:
            raise ValueError
        return Client(url, key, timeout_s=timeout_s, retry_s=_RETRY_S, ssl_context=trust)
    except ValueError:
        raise Usage(f"--url: {url!r} is not an address such as http://127.0.0.1:8000") from None


def failure_of(error: CarouselError, url: str) -> Failure:
    """What the operator is told of a call that failed."""
    if error.is_foreign:
        return Unreachable(f"{url} does not answer as Carousel does: {error.detail}")
    if isinstance(error, ConnectionLost):
        if error.timed_out:
            return Unreachable(f"{url}: no answer in time; --timeout allows more")
        return Unreachable(f"{url} cannot be reached: {error.detail}")
    hint = f"; hint: {error.hint}" if error.hint else ""
    failure = Failure(f"{error.code} ({error.status}): {error.detail}{hint}")
    failure.ends_all = error.status in _FOR_ALL
    return failure


def _key(flag: Path | None, environ: Mapping[str, str]) -> str:
    """The key, empty where none is given. A file named by flag counts more than a variable."""
    key, source, file = environ.get(_KEY, ""), _KEY, flag
    if file is None and not key and environ.get(_KEY_FILE):
        file = Path(environ[_KEY_FILE])
    if file is not None:
        source = str(file)
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise Usage(f"the key file {file} cannot be read as text") from None
        if not key:
            raise Usage(f"the key file {file} holds no key")
    if not all("!" <= letter <= "~" for letter in key):
        raise Usage(f"{source}: a key is made of visible ASCII characters")
    return key
