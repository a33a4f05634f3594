"""The start of the Redis store: connect, look at the server, and say what it gives or refuse it."""

import logging

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    RedisError,
    ResponseError,
    TimeoutError,
)

from carousel.service.errors import SettingError
from carousel.service.sessions.stores.redis.facts import RedisFacts, read_facts
from carousel.service.sessions.stores.redis.link import (
    ANSWER_S,
    RedisLink,
    UnknownOption,
    WrongFormat,
)
from carousel.service.store_address import parse_address

log = logging.getLogger("carousel.store")

_SETTING = "CAROUSEL_STORE"


def make_links(
    url: str, password: str | None, count: int, *, answer_s: float = ANSWER_S
) -> list[RedisLink]:
    """Connections to an address, not yet made; raises SettingError where it cannot be read."""
    try:
        address = parse_address(url)
        secret = password or address.password or None
        return [RedisLink(address.url, secret, answer_s=answer_s) for _ in range(count)]
    except UnknownOption as error:
        raise SettingError(
            _SETTING, f"the address has {error}; expected `db` or those of TLS, ssl_*"
        ) from None
    except ValueError as error:
        raise SettingError(_SETTING, str(error)) from None


def check_server(link: RedisLink, *, unsafe: bool) -> None:
    """Connect and see that the server will do, and log what it gives; raises SettingError."""
    try:
        link.connect()
        _judge(link.url, read_facts(link), unsafe=unsafe)
        link.check_format()
    except WrongFormat as error:
        raise SettingError(
            _SETTING,
            f"{link.url} is another version's: {error}; run a version that reads it, or give this "
            "one a database of its own",
        ) from None
    except (RedisError, OSError, UnicodeError) as error:
        raise SettingError(_SETTING, f"{link.url} {_explain(link, error)}") from None


def _judge(url: str, facts: RedisFacts, *, unsafe: bool) -> None:
    refusals = [*facts.refusals()]
    if refusals:
        raise SettingError(_SETTING, f"{url} {'; and '.join(refusals)}")
    dangers = [*facts.dangers()]
    if dangers and not unsafe:
        raise SettingError(
            _SETTING,
            f"{url} {'; and it '.join(dangers)}; or accept that with --redis-unsafe",
        )
    for danger in dangers:
        log.warning("Redis at %s %s", url, danger)
    for promise in facts.promises():
        log.info("Redis at %s: %s", url, promise)


def _explain(link: RedisLink, error: Exception) -> str:
    """What went wrong, and how to mend it."""
    said = link.scrub(error)
    if isinstance(error, AuthenticationError):
        if "called without any password" in said:
            return "has no password, and one was given: take it away, or set requirepass there"
        if "required" in said.lower():
            return (
                "needs a password: give it in CAROUSEL_REDIS_PASSWORD, or in a file named by "
                "CAROUSEL_REDIS_PASSWORD_FILE"
            )
        return f"refuses the user name or the password ({said}): check both"
    if isinstance(error, BusyLoadingError):
        return "is still loading its data: start again when it has"
    if isinstance(error, TimeoutError):
        return (
            f"did not answer within {link.answer_s:g} s ({said}): check the address, with "
            "rediss:// for TLS and redis:// without, and the network"
        )
    if isinstance(error, InvalidResponse):
        return f"does not answer as Redis does ({said}): check the address"
    if isinstance(error, ResponseError):
        return (
            f"refuses ({said}): the user needs the keys carousel:* and EVALSHA, SCRIPT, INFO and "
            "TIME"
        )
    return f"cannot be reached ({said}): start Redis there, or mend the address"
