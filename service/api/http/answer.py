"""An answer of the data plane, ready to send."""

from dataclasses import dataclass, field

from carousel.service.api.encoding.media import Media

Header = tuple[bytes, bytes]

# What the last answer on a connection says; whoever writes it closes the connection after it.
LAST_ANSWER: Header = (b"connection", b"close")

_CONTENT_TYPE: dict[Media, Header] = {
    media: (b"content-type", media.content_type) for media in Media
}


@dataclass(slots=True)
class Answer:
    """Status, headers (without Content-Length) and body."""

    status: int
    body: bytes
    headers: list[Header] = field(default_factory=list)


def answer(media: Media, body: bytes, *headers: Header) -> Answer:
    """A 200 in `media`."""
    return Answer(200, body, [_CONTENT_TYPE[media], *headers])
