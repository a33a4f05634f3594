"""Where sessions are kept, as the setting `store` says it.

A password in an address is taken out of it at once, and what cannot be read is not quoted further
than its scheme: addresses are logged, passwords never.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

EXPECTED = (
    "memory, sqlite, sqlite:PATH, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix:///SOCKET"
)

_MAX_PORT = 65535
_SCHEME = re.compile(r"(redis|rediss|unix)://")
# Scheme, user and password, host and port, path, query; "@" and "#" stand nowhere else.
_URL = re.compile(r"(redis|rediss|unix)://([^/?#]*@)?([^/?#@]*)(/[^?#@]*)?(\?[^#@]*)?")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_DATABASE = re.compile(r"/?[0-9]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """`file` is a store's own file, None for the one in the data folder; `url` has no password."""

    kind: Literal["memory", "sqlite", "redis"]
    file: Path | None = None
    url: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        if self.url:
            return self.url
        return self.kind if self.file is None else f"{self.kind}:{self.file}"


def parse_address(text: str) -> StoreAddress:
    """What a text means; raises ValueError with words that may be shown."""
    if text in ("memory", "sqlite"):
        return StoreAddress(kind="memory" if text == "memory" else "sqlite")
    if _SCHEME.match(text):
        return _parse_url(text)
    scheme, colon, path = text.partition(":")
    # Two slashes: an address as other programs write it, which may mean another file.
    if scheme == "sqlite" and colon and path and not path.startswith("//"):
        return StoreAddress(kind="sqlite", file=Path(path))
    raise ValueError(f"{_shown(text)!r} is not one of {EXPECTED}")


def _parse_url(text: str) -> StoreAddress:
    found = _URL.fullmatch(text)
    if found is None or not _leads_somewhere(found[1], found[3], found[4] or ""):
        raise ValueError(
            f"{_shown(text)!r} is not one of {EXPECTED}: the address cannot be read; "
            "in a password '@', '/', '?' and '#' are written %40, %2F, %3F and %23"
        )
    query = found[5] or ""
    if "password" in query.lower():
        raise ValueError(
            f"{_shown(text)!r} has a password behind '?', where it is not hidden; "
            "expected one in front of the host, in a variable or in a file"
        )
    user, _, password = (found[2] or "").removesuffix("@").partition(":")
    place = f"{user}@{found[3]}" if user else found[3]
    return StoreAddress(
        kind="redis",
        url=f"{found[1]}://{place}{found[4] or ''}{query}",
        password=unquote(password),
    )


def _leads_somewhere(scheme: str, host: str, path: str) -> bool:
    """Whether the parts of a URL name a server."""
    if scheme == "unix":
        return not host and len(path) > 1
    found = _HOST.fullmatch(host)
    return (
        found is not None
        and _DATABASE.fullmatch(path) is not None
        and (found[1] is None or 0 < int(found[1]) <= _MAX_PORT)
    )


def _shown(text: str) -> str:
    """As much of a text as cannot hold a password."""
    word = re.match(r"[A-Za-z]*", text)
    assert word is not None
    return text if word[0] == text else word[0] + "..."
