"""Who may ask: the API key and, where there is none, only hosts that no web page can pose as.

Which names those are is decided here. A page in somebody's browser can be given a name that
resolves to this machine, if its author answers for the name: to whoever asks the DNS, or to whoever
asks around in the same network.

    the Host is                 without a key
    --------------------------  --------------------------------------------------------------------
    an address                  answered: nobody resolves it to something else
    localhost, *.localhost      answered: they mean the machine itself, and RFC 6761 (6.3) forbids
                                resolvers to ask anybody about them
    a name without a dot        answered: nobody can register one (the browser's own machine, a
                                container or a Service beside it)
    named by a setting          answered
    any other                   refused. That no stranger can buy a name below .local, .internal or
                                .test does not keep him out: in a network that he is in as well, a
                                cafe's, or that he runs, he answers for them (by multicast, as the
                                resolver, as a pod)
"""

import hmac
import ipaddress
from collections.abc import Collection, Mapping

from carousel.service.errors import Forbidden, Unauthorized

TENANT = "default"

# Static pages and probes: they hold no data, and anybody may ask for them.
OPEN_PATHS = frozenset(
    {"/", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"}
    | {"/examples/stream.html", "/examples/stream.js"}
)
OPEN_FOLDER = "/docs/"

_SCHEME = b"bearer "
_LOOPBACK = ".localhost"
_MAX_KNOWN = 256


class Authenticator:
    """Admits a request by its headers. With a key, only the key counts.

    Without one, a page in somebody's browser could reach a service on the same machine: by a name
    of its own that resolves to 127.0.0.1 (the Host tells), or from another origin (the Origin
    tells). `allowed_hosts` are further names, `*.suffix` for all below one, `*` for any; `origins`
    are pages that may ask, as browsers write them.
    """

    def __init__(
        self, key: str, allowed_hosts: Collection[str] = (), origins: Collection[str] = ()
    ) -> None:
        self._expected = b"Bearer " + key.encode("ascii") if key else b""
        allowed = [each.lower() for each in allowed_hosts]
        self._any_host = "*" in allowed
        self._allowed = frozenset(allowed)
        self._suffixes = (_LOOPBACK, *(each[1:] for each in allowed if each.startswith("*.")))
        self._origins = frozenset(each.lower().encode("latin-1") for each in origins)
        self._known: dict[bytes, bool] = {}

    def __repr__(self) -> str:
        return f"<Authenticator {'key' if self._expected else 'hosts'}>"

    def admit(self, headers: Mapping[bytes, bytes]) -> str:
        """The tenant that asks; raises Unauthorized or Forbidden."""
        if self._expected:
            self._check_key(headers.get(b"authorization"))
        else:
            self._check_host(headers.get(b"host", b""))
            if b"origin" in headers:
                self._check_origin(headers)
        return TENANT

    def _check_key(self, given: bytes | None) -> None:
        if given is None:
            raise Unauthorized(
                "no API key given", hint="send the header Authorization: Bearer <key>"
            )
        if given[: len(_SCHEME)].lower() == _SCHEME:
            given = b"Bearer " + given[len(_SCHEME) :].strip()
        if not hmac.compare_digest(given, self._expected):
            raise Unauthorized("the API key given is not the service's")

    def _check_host(self, host: bytes) -> None:
        known = self._known.get(host)
        if known is None:
            known = self._judge(_name(host))
            if len(self._known) < _MAX_KNOWN:
                self._known[host] = known
        if not known:
            name = _name(host)
            raise Forbidden(
                f"Host: {name!r} given, a name that is not answered without an API key",
                hint=f"set CAROUSEL_ALLOWED_HOSTS={name} for the service, or an API key",
            )

    def _judge(self, name: str) -> bool:
        if self._any_host or name in self._allowed or "." not in name:
            return True
        if name.endswith(self._suffixes):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        origin, host = headers[b"origin"], headers.get(b"host", b"")
        own = origin.partition(b"://")[2].lower() == host.lower()
        if not own and origin.lower() not in self._origins:
            text = origin.decode("latin-1")
            raise Forbidden(
                f"Origin: {text!r} given, a page of another site",
                hint=f"set CAROUSEL_CORS_ORIGINS={text} for the service",
            )


def _name(host: bytes) -> str:
    """The host name without its port; the address of an IPv6 literal without brackets."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text
