"""One connection to Redis, on which every command is sent once.

The library's own repeats are off, and a connection that Redis has closed is found before anything
is sent on it. The one thing that is sent again is a call whose script Redis does not know: nothing
of it has run.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.stores.redis.keys import FORMAT, FORMAT_KEY
from carousel.service.sessions.stores.redis.scripts import Call

log = logging.getLogger("carousel.store")

Command = tuple[bytes | int, ...]

CONNECT_S = 2.0
ANSWER_S = 5.0
# A failure that lasts is logged no more often than this.
_LOG_S = 10.0


class WrongFormat(Exception):
    """What is at the address was written in another format than this one."""


class UnknownOption(Exception):
    """The address has a parameter that the store does not take; says which."""


class WrongType:
    """What is at a key where a value was expected: of another kind, and not of this store."""


class LibraryConnection(Protocol):
    """As much of the library's connection as is used."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def can_read(self, timeout: float = 0) -> bool: ...
    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None: ...
    def read_response(self) -> object: ...


class RedisLink:
    """Used by one thread at a time. `url` has no password. `answer_s`: how long an answer may take.

    After a failure the connection is closed, and the next exchange makes another.
    """

    def __init__(self, url: str, password: str | None, *, answer_s: float = ANSWER_S) -> None:
        self.url = url
        self.answer_s = answer_s
        self._password = password
        self._connection = _connection(url, password, answer_s)
        self._connected = False
        # Whether the last exchange failed as a whole, and Redis with it.
        self.broken = False
        self._retired = False
        self._failing = False
        self._logged_at = -_LOG_S

    def __repr__(self) -> str:
        state = "connected" if self._connected else "not connected"
        return f"<RedisLink {self.url} {state}>"

    def connect(self) -> None:
        """Connect; raises what the library does."""
        self.close()
        self._connection.connect()
        self._connected = True

    def send(self, commands: Sequence[Command]) -> list[object]:
        """One round trip on the connection there is; raises what the library does."""
        connection = self._connection
        connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        return [self._receive() for _ in commands]

    def check_format(self) -> None:
        """See that the format is ours, or make it so where there is none; raises WrongFormat."""
        found = self.send([(b"GET", FORMAT_KEY)])[0]
        if found is None:
            # Another server may start at the same moment, of another version.
            write: Command = (b"SETNX", FORMAT_KEY, FORMAT)
            made, found = self.send([write, (b"GET", FORMAT_KEY)])
            found = made if isinstance(made, ResponseError) else found
        if isinstance(found, ResponseError):
            raise found
        if found != str(FORMAT).encode():
            raise WrongFormat(
                f"carousel:format is {found!r}; this version of Carousel writes {FORMAT}"
            )

    def close(self) -> None:
        self._connected = False
        self._connection.disconnect()

    def retire(self) -> None:
        """Send nothing more after the next failure; from any thread."""
        self._retired = True

    def exchange(self, commands: Sequence[Command]) -> list[object]:
        """One round trip. Redis' refusal of a command is an error among the replies.

        Raises StoreUnavailable, after which nobody knows what was done.
        """
        if self._retired and self.broken:
            raise StoreUnavailable("the session store does not answer")
        try:
            if self._connected and self._is_stale():
                self.close()
            if not self._connected:
                self.connect()
                self.check_format()
            replies = self.send(commands)
        except Exception as error:
            self.broken = True
            raise self._failed(error) from error
        self.broken = False
        if self._failing and not any(isinstance(each, ResponseError) for each in replies):
            self._failing = False
            log.info("Redis at %s answers again", self.url)
        return replies

    def ask(self, *command: bytes | int) -> object:
        """The reply to one command; raises StoreUnavailable, also where Redis refuses it."""
        reply = self.exchange([command])[0]
        if isinstance(reply, ResponseError):
            raise self._failed(reply)
        return reply

    def read(self, commands: Sequence[Command]) -> list[bytes | WrongType | None]:
        """Values, in one round trip; raises StoreUnavailable."""
        return [self._value(each) for each in self.exchange(commands)]

    def call(self, calls: Sequence[Call]) -> list[bytes | StoreUnavailable]:
        """Run scripts in one round trip; each has its own letters, or its own failure."""
        replies = self.exchange([each.command for each in calls])
        unknown = [i for i, each in enumerate(replies) if isinstance(each, NoScriptError)]
        if unknown:
            scripts = {calls[i].script for i in unknown}
            loads: list[Command] = [(b"SCRIPT", b"LOAD", each.text) for each in scripts]
            again = self.exchange(loads + [calls[i].command for i in unknown])
            for i, reply in zip(unknown, again[len(loads) :], strict=True):
                replies[i] = reply
        return [
            reply if isinstance(reply, bytes) else self._failed(cast(Exception, reply))
            for reply in replies
        ]

    def scrub(self, error: Exception) -> str:
        """What an error says, in one line and without the password."""
        text = " ".join(str(error).split())
        return text.replace(self._password, "***") if self._password else text

    def _receive(self) -> object:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error

    def _value(self, reply: object) -> bytes | WrongType | None:
        if isinstance(reply, ResponseError):
            if str(reply).startswith("WRONGTYPE"):
                return WrongType()
            raise self._failed(reply)
        assert reply is None or isinstance(reply, bytes)
        return reply

    def _is_stale(self) -> bool:
        """Whether Redis has closed the connection, or has sent what nobody asked for."""
        try:
            return self._connection.can_read(0)
        except (RedisError, OSError):
            return True

    def _failed(self, error: Exception) -> StoreUnavailable:
        """What is told of a failure; the log has it whole."""
        self.close()
        now = time.monotonic()
        if not self._failing and now - self._logged_at >= _LOG_S:
            self._failing = True
            self._logged_at = now
            known = isinstance(error, RedisError | OSError | WrongFormat)
            kind = type(error).__name__
            log.error(
                "Redis at %s failed: %s: %s",
                *(self.url, kind, self.scrub(error)),
                exc_info=None if known else error,
            )
        # A script's error is told with the script's words around it.
        if "OOM command not allowed" in str(error) or "used memory > 'maxmemory'" in str(error):
            return StoreUnavailable(
                "Redis is full", hint="raise Redis' maxmemory, or delete sessions that are done"
            )
        if isinstance(error, ResponseError | WrongFormat):
            return StoreUnavailable("the session store refuses to do it now")
        return StoreUnavailable("the session store does not answer")


def _connection(url: str, password: str | None, answer_s: float) -> LibraryConnection:
    """A connection that is not yet made; raises UnknownOption, ValueError."""
    parse: Callable[[str], dict[str, Any]] = parse_url
    options = parse(url)
    kind: Callable[..., LibraryConnection] = options.pop("connection_class", Connection)
    known = {"host", "port", "path", "db", "username"}
    for name in options:
        # What else the library would take changes how often and in what form things are sent.
        if name not in known and not name.startswith("ssl_"):
            raise UnknownOption(f"the parameter {name!r}")
    try:
        return kind(
            **options,
            password=password,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=answer_s,
            # redis-py repeats commands unless it is told not to: a write would then read as lost.
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            protocol=2,
            driver_info=None,
        )
    except (TypeError, RedisError) as error:
        names = [name for name in options if name not in known]
        raise UnknownOption(f"a parameter that cannot be used: {', '.join(names)}") from error
