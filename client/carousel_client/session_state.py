"""A session's state as a server keeps it, and where the session stands with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carousel_client.codec import STATE, named_state
from carousel_client.model import Array
from carousel_client.tensorfile import read_tensors, write_tensors


@dataclass(frozen=True, slots=True)
class SessionState:
    """`content` is safetensors, and goes back as it came: to this server or another, to the bit.

    `etag` names the revision that was read; as `if_match`, it lets a write or a deletion through
    only while the session is at it.
    """

    content: bytes
    position: int
    etag: str | None = None

    @classmethod
    def of(cls, arrays: Mapping[str, npt.ArrayLike], position: int) -> "SessionState":
        """A state of arrays by name, each in the dtype that it has."""
        named = named_state({name: np.asarray(each) for name, each in arrays.items()})
        return cls(write_tensors(named), position)

    def arrays(self) -> dict[str, Array]:
        """The state by name, without the batch axis; raises BadAnswer if it is no safetensors."""
        found = read_tensors(self.content)
        return {name.removeprefix(STATE): each for name, each in found.items()}
