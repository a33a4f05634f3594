"""What a store keeps of a session: its head, its state, and the replies of its last steps.

These are made once a step and never changed afterwards. They are not `frozen`, because a frozen
dataclass takes four times as long to make.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from models.row import Array

MAX_REPLIES = 8
MAX_REPLIES_BYTES = 4 << 10
MAX_REPLY_BYTES = 1 << 20

# Whose session, and its id.
Key = tuple[str, str]


@dataclass(slots=True)
class SavedArray:
    """One output of a recorded reply, little-endian and row-major."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def load(self) -> Array:
        """The array, read-only."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


@dataclass(slots=True)
class Reply:
    """A recorded reply: the step from `base` to `position` with inputs of this digest.

    `outputs` is None when they were too large to keep.
    """

    base: int
    position: int
    digest: bytes
    outputs: tuple[SavedArray, ...] | None

    @property
    def nbytes(self) -> int:
        """Bytes of the recorded outputs."""
        return sum(len(each.data) for each in self.outputs) if self.outputs is not None else 0


@dataclass(slots=True)
class Head:
    """A session but for its state. Times are seconds since the epoch, `revision` 16 random
    bytes.
    """

    key: Key
    model: str
    version: int
    state_id: str
    revision: bytes
    position: int
    created_at: float
    used_at: float
    ttl_s: float
    replies: tuple[Reply, ...] = ()

    @property
    def expires_at(self) -> float:
        """When the session ends unless it is used again."""
        return self.used_at + self.ttl_s


@dataclass(slots=True)
class Record:
    """A session whole: head and state, the state as one row (models/row.py)."""

    head: Head
    state: bytes


def make_reply(
    base: int, position: int, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> Reply:
    """Record a step; outputs beyond 1 MiB are left out, and the reply says so."""
    if sum(array.nbytes for array in outputs.values()) > MAX_REPLY_BYTES:
        return Reply(base, position, digest(inputs), None)
    saved = tuple(
        SavedArray(name, array.dtype.str, array.shape, array.tobytes())
        for name, array in outputs.items()
    )
    return Reply(base, position, digest(inputs), saved)


def keep_replies(older: tuple[Reply, ...], last: Reply) -> tuple[Reply, ...]:
    """The replies to keep, oldest first: the last, and before it as many as are small enough."""
    kept = 0
    total = last.nbytes
    for reply in reversed(older[1 - MAX_REPLIES :]):
        total += reply.nbytes
        if total > MAX_REPLIES_BYTES or reply.outputs is None:
            break
        kept += 1
    return (*older[len(older) - kept :], last)


def digest(inputs: Mapping[str, Array]) -> bytes:
    """What tells decoded inputs apart: names, dtypes, shapes and values, whatever encoding they
    had.
    """
    hasher = blake2b(digest_size=16)
    for name in sorted(inputs):
        array = inputs[name]
        hasher.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        hasher.update(array.tobytes())
    return hasher.digest()
