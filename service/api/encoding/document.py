"""A JSON body: parsed, and its members checked by name."""

from collections.abc import Set
from typing import Any

import orjson

from carousel.service.api.encoding.explain import kind_of
from carousel.service.errors import InvalidRequest, Malformed, NotText


def parse(body: bytes) -> dict[str, Any]:
    """The object that a body is; raises Malformed for what is not JSON, InvalidRequest for other
    JSON.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _malformed(body, error) from None
    if type(document) is not dict:
        raise InvalidRequest(f"the body: {kind_of(document)} given; expected an object")
    return document


def may_hold_bools(body: bytes) -> bool:
    """False only where no `true` or `false` can be in it: a search for one letter is the fastest
    there is.
    """
    return b"r" in body or b"f" in body


def check_members(document: dict[str, Any], allowed: Set[str], where: str = "") -> None:
    """Refuse members that the request does not have."""
    if not document.keys() <= allowed:
        # The first that is met: there may be a million.
        unknown = next(name for name in document if name not in allowed)
        expected = f"one of {', '.join(sorted(allowed))}" if allowed else "none"
        raise InvalidRequest(f"{where}{unknown}: unknown field given; expected {expected}")


def take_flag(document: dict[str, Any], name: str, default: bool, where: str = "") -> bool:
    """A boolean member."""
    value = document.get(name, default)
    if type(value) is not bool:
        raise InvalidRequest(f"{where}{name}: {kind_of(value)} given; expected true or false")
    return value


def take_position(document: dict[str, Any], where: str = "") -> int | None:
    """The member `position`, None where it is not named."""
    value = document.get("position")
    if value is None and "position" not in document:
        return None
    return check_position(value, f"{where}position")


def check_position(value: Any, where: str) -> int:
    """A position as JSON has it."""
    if type(value) is not int or not 0 <= value < 2**63:
        given = value if type(value) in (int, float) else kind_of(value)
        raise InvalidRequest(f"{where}: {given} given; expected an integer of 0 or more")
    return value


def take_list(document: dict[str, Any], name: str, where: str = "") -> list[Any]:
    """A member that is a list of one or more, and must be there."""
    value = document.get(name)
    if type(value) is not list or not value:
        given = kind_of(value) if name in document else "nothing"
        raise InvalidRequest(f"{where}{name}: {given} given; expected a list of one or more")
    return value


def _malformed(body: bytes, error: orjson.JSONDecodeError) -> Malformed:
    if not body:
        return Malformed("the body: nothing given; expected a JSON object")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as fault:
        return NotText(f"the body: byte {fault.start} is not UTF-8; expected JSON in UTF-8")
    reason = error.msg.partition(":")[0]
    return Malformed(
        f"the body: not JSON at line {error.lineno}, column {error.colno}: {reason}",
        hint="JSON has no NaN or Infinity",
    )
