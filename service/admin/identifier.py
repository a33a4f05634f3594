"""What a session can be called: its id becomes part of a path and the name of a file."""

import re

from carousel.service.admin.failure import Usage

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@~-]{0,127}")


def is_id(text: str) -> bool:
    """Whether a session can have this id."""
    return _ID.fullmatch(text) is not None


def check_id(text: str) -> str:
    """The id itself; raises Usage for what no session can be called."""
    if not is_id(text):
        raise Usage(
            f"{text!r} cannot be a session's id: letters, digits and ._:@~-, beginning with a "
            "letter or digit, 128 at most"
        )
    return text
