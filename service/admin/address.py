"""Where the service is: the address that the operator gave, taken apart and checked."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from carousel.service.admin.failure import Usage

_PORTS = {"http": 80, "https": 443}
_MAX_LABEL = 63


@dataclass(frozen=True, slots=True)
class Address:
    """A service's address; `prefix` is the path that a proxy puts in front of it."""

    scheme: str
    host: str
    port: int
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


def parse_address(url: str) -> Address:
    """The parts of `http://host:port`; raises Usage."""
    wrong = Usage(f"--url: {url!r} is not an address such as http://127.0.0.1:8000")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    extra = parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in _PORTS or not parts.hostname or extra or port == 0:
        raise wrong
    # Such parts of a host name cannot be looked up, and Python has no error of the network for it.
    labels = parts.hostname.removesuffix(".").split(".")
    if not all(1 <= len(label) <= _MAX_LABEL for label in labels):
        raise wrong
    return Address(
        parts.scheme, parts.hostname, port or _PORTS[parts.scheme], parts.path.rstrip("/")
    )
