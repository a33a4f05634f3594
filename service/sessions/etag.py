"""Tags of revisions, as `ETag` and `If-Match` carry them."""

from carousel.service.errors import PreconditionFailed
from carousel.service.sessions.session_record import SessionMeta


def etag(meta: SessionMeta) -> str:
    """The tag of the revision that the metadata is of."""
    return f'"{meta.revision.hex()}"'


def check_match(if_match: str | None, meta: SessionMeta) -> None:
    """RFC 9110 section 13.1.1: `*` or a list of strong tags; raises PreconditionFailed."""
    if if_match is None:
        return
    tags = [tag.strip() for tag in if_match.split(",")]
    if "*" not in tags and etag(meta) not in tags:
        raise PreconditionFailed(
            "If-Match names another revision than the session's",
            hint="read the state again for its ETag",
            position=meta.position,
        )
