"""What a server says, read: where it is not what was expected, that is BadAnswer."""

from collections.abc import Iterator
from contextlib import contextmanager

from carousel_client.errors import BadAnswer


@contextmanager
def expecting(what: str) -> Iterator[None]:
    """Around the reading of a JSON document, whose members may be missing or of any type."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"the answer does not hold {what}") from error


def text(value: object) -> str:
    """A member that is a string; raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} given; expected a string")
    return value
