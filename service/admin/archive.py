"""A session as a file: its state in safetensors, and what else makes it a session in the metadata.

The tensors keep the names and bytes that they have on the wire, so any reader of safetensors can
look at them, and the file itself is what a state write sends.
"""

import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from carousel.service.admin.failure import Failure
from carousel.service.admin.identifier import is_id
from carousel_client.errors import BadAnswer
from carousel_client.tensorfile import read_tensors, write_tensors

SUFFIX = ".safetensors"

_FORMAT = "carousel_format"
_VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What the metadata says of the session; `state_id` names the weights, where it is known."""

    session_id: str
    model: str
    version: int
    position: int
    ttl_s: float
    state_id: str | None = None

    def metadata(self) -> dict[str, str]:
        """Text by name, as safetensors has it."""
        values: dict[str, object] = {
            _FORMAT: _VERSION,
            "session_id": self.session_id,
            "model": self.model,
            "version": self.version,
            "position": self.position,
            "ttl_s": f"{self.ttl_s:.15g}",
            "state_id": self.state_id,
        }
        return {name: str(value) for name, value in values.items() if value is not None}


def archived(state: bytes, about: Archived) -> bytes:
    """A state, which is safetensors, with metadata; raises Failure if it is none."""
    try:
        return write_tensors(read_tensors(state), about.metadata())
    except BadAnswer:
        raise Failure("the service answered a state that is not safetensors") from None


def read_archive(path: Path) -> Archived:
    """What a file says of its session, once its tensors are all there; raises Failure."""
    try:
        # To open a pipe would wait for whoever writes into it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Failure(f"{path} cannot be read: it is no ordinary file")
        with safe_open(path, framework="numpy") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror or error}") from None
    except SafetensorError:
        raise Failure(f"{path} is not a safetensors file, or not a whole one") from None
    if metadata.get(_FORMAT) != _VERSION:
        found = metadata.get(_FORMAT)
        raise Failure(
            f"{path} was not written by carousel-sessions export"
            if found is None
            else f"{path} has the format {found!r}; expected {_VERSION}"
        )
    try:
        return _read_metadata(metadata)
    except KeyError as error:
        raise Failure(f"{path} does not say its {error.args[0]}") from None
    except ValueError:
        raise Failure(f"{path} says of itself what no session can be") from None


def _read_metadata(metadata: Mapping[str, str]) -> Archived:
    """Raises KeyError for what is missing and ValueError for what cannot be."""
    about = Archived(
        session_id=metadata["session_id"],
        model=metadata["model"],
        version=int(metadata["version"]),
        position=int(metadata["position"]),
        ttl_s=float(metadata["ttl_s"]),
        state_id=metadata.get("state_id"),
    )
    if not is_id(about.session_id) or about.position < 0 or not 0 < about.ttl_s < math.inf:
        raise ValueError
    return about
