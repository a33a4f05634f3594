"""An answer of the data plane, ready to send."""

from collections.abc import Callable
from dataclasses import dataclass, field

Header = tuple[bytes, bytes]

# What the last answer on a connection says; whoever writes it closes the connection after it.
LAST_ANSWER: Header = (b"connection", b"close")


@dataclass(slots=True)
class Answer:
    """Status, headers (without Content-Length) and body."""

    status: int
    body: bytes
    headers: list[Header] = field(default_factory=list)


# Told what came of a request: its answer, or why there is none; Abandoned where nobody waits.
Reply = Callable[[Answer | Exception], None]
