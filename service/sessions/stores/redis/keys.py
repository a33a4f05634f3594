"""The names of what the Redis store keeps.

`carousel:s:<tenant>/<id>`    a session or its tombstone; "/" cannot stand in an id
`carousel:ids:<tenant>`       sorted set: the ids of a tenant's sessions, all with score 0
`carousel:due`                sorted set: <tenant>/<id> by a time before which it does not expire
`carousel:buried`             sorted set: <tenant>/<id> of tombstones by the time of their expiry
`carousel:format`             the number of this format
"""

from carousel.service.sessions.session_record import Key

FORMAT = 1

FORMAT_KEY = b"carousel:format"
DUE_KEY = b"carousel:due"
BURIED_KEY = b"carousel:buried"


def session_key(key: Key) -> bytes:
    """Where a session is kept."""
    return f"carousel:s:{key[0]}/{key[1]}".encode()


def ids_key(tenant: str) -> bytes:
    """Where the ids of a tenant's sessions are kept."""
    return f"carousel:ids:{tenant}".encode()


def member(key: Key) -> bytes:
    """A session in the sets of all tenants."""
    return f"{key[0]}/{key[1]}".encode()


def parse_member(name: bytes) -> Key:
    """Whose session a member is, and its id."""
    tenant, _, session_id = name.decode().rpartition("/")
    return tenant, session_id
