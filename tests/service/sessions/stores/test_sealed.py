"""Records under checksums: what was written comes back, and whatever else is there is found."""

from struct import pack
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.sealed import Damage, seal, unseal, unseal_meta

REVISION = bytes(range(16))


def _record(
    session_id: str = "pump-7",
    *,
    tenant: str = "default",
    revision: bytes = REVISION,
    state: bytes = b"state of a session",
) -> SessionRecord:
    identity = SessionIdentity((tenant, session_id), "model", "weights", 1000.5, 3600.0)
    return SessionRecord(
        SessionMeta(identity, 3, revision, 17, 2000.25, b"recorded replies"), state
    )


def _flips(data: bytes) -> list[bytes]:
    """The same bytes with one bit flipped, for every bit."""
    return [
        data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :]
        for index in range(len(data))
        for bit in range(8)
    ]


_TEXT = st.text(max_size=40)
_TIME = st.floats(allow_nan=False)


@given(
    key=st.tuples(_TEXT, _TEXT),
    model=_TEXT,
    times=st.tuples(_TIME, _TIME, _TIME),
    position=st.integers(0, 2**63 - 1),
    version=st.integers(1, 2**32 - 1),
    blobs=st.tuples(st.binary(), st.binary(), st.binary(min_size=16, max_size=16)),
)
def test_what_is_sealed_comes_back(
    key: tuple[str, str],
    model: str,
    times: tuple[float, float, float],
    position: int,
    version: int,
    blobs: tuple[bytes, bytes, bytes],
) -> None:
    """Every field of a record, whatever it holds; the head alone, too."""
    state, replies, revision = blobs
    identity = SessionIdentity(key, model, "weights", times[0], times[1])
    record = SessionRecord(
        SessionMeta(identity, version, revision, position, times[2], replies), state
    )
    sealed = seal(record)
    assert unseal(revision, sealed, state) == record
    alone = unseal_meta(revision, sealed)
    assert (alone.meta, alone.state_bytes) == (record.meta, len(state))
    assert seal(unseal(revision, sealed, state)) == sealed


def test_every_flipped_bit_is_found() -> None:
    """In the head, in the state and in the revision."""
    record = _record()
    sealed = seal(record)
    for meta in _flips(sealed):
        with pytest.raises(Damage):
            unseal(REVISION, meta, record.state)
    for state in _flips(record.state):
        with pytest.raises(Damage):
            unseal(REVISION, sealed, state)
    for revision in _flips(REVISION):
        with pytest.raises(Damage):
            unseal(revision, sealed, record.state)


def test_every_cut_and_every_addition_is_found() -> None:
    """A head or a state that is shorter or longer than it was."""
    record = _record()
    sealed = seal(record)
    for size in range(len(sealed)):
        with pytest.raises(Damage):
            unseal(REVISION, sealed[:size], record.state)
    for size in range(len(record.state)):
        with pytest.raises(Damage):
            unseal(REVISION, sealed, record.state[:size])
    for more in (b"\0", b"\xff", bytes(1000)):
        with pytest.raises(Damage):
            unseal(REVISION, sealed + more, record.state)
        with pytest.raises(Damage):
            unseal(REVISION, sealed, record.state + more)


def test_every_exchange_is_found() -> None:
    """Of one session's head, state or revision for another's, or for its own of another time."""
    ours = _record()
    theirs = _record("pump-8", revision=bytes(16), state=b"STATE of a session")
    parts = [(each.meta.revision, seal(each), each.state) for each in (ours, theirs)]
    (revision, meta, state), (other_revision, other_meta, other_state) = parts
    for mixed in (
        (other_revision, meta, state),
        (revision, other_meta, state),
        (revision, meta, other_state),
        (revision, other_meta, other_state),
    ):
        with pytest.raises(Damage):
            unseal(*mixed)
    # A head and its state that belong together, under another id, say whose they are.
    assert unseal(other_revision, other_meta, other_state).meta.key == ("default", "pump-8")


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 300))
def test_a_head_that_no_one_wrote_is_damage(tail: bytes, identity: int, replies: int) -> None:
    """Even under a checksum that is right: it is read, or it is damage, and nothing else."""
    body = pack("<IIIqdII", 0, 0, 1, 0, 0.0, identity, replies) + tail
    data = crc32(body, crc32(REVISION)).to_bytes(4, "little") + body
    try:
        found = unseal_meta(REVISION, data)
    except Damage:
        return
    assert len(found.meta.replies) == replies


def test_revisions_of_any_length_are_taken() -> None:
    """What stands beside a head in a store may be cut as well."""
    sealed = seal(_record())
    for revision in (b"", REVISION[:15], REVISION + b"\0"):
        with pytest.raises(Damage):
            unseal_meta(revision, sealed)
