"""What a server says of a model: its tensors on the wire, and how it may be streamed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from operator import index
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from carousel_client.document import expecting, text

Array = npt.NDArray[Any]
Axis = int | Literal["time"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor on the wire: `shape` without the batch axis, and with `"time"` first where it has
    one. `dtype` is little-endian. `low` and `high` bound integers, both included.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Axis, ...]
    low: int | None = None
    high: int | None = None

    @property
    def has_time(self) -> bool:
        """Whether there is one of it for every time step."""
        return bool(self.shape) and self.shape[0] == "time"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of one time step."""
        return tuple(axis for axis in self.shape if isinstance(axis, int))

    def nbytes(self, num_steps: int) -> int:
        """The bytes of its values over so many time steps."""
        return prod(self.sizes) * self.dtype.itemsize * (num_steps if self.has_time else 1)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model. `streaming` is `"step"`, `"last"` or, where no session can be opened on it, `"none"`
    for the reason given. `max_steps`: time steps that one request may have. `parity`: how far the
    served program is from the original module, as it was measured.
    """

    name: str
    version: int
    versions: tuple[int, ...]
    program: str
    device: str
    streaming: str
    streaming_reason: str | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    states: tuple[TensorInfo, ...]
    max_steps: int
    parity: Mapping[str, Any]


@expecting("a model")
def read_model(document: Mapping[str, Any]) -> ModelInfo:
    """The ModelInfo of a JSON object; raises BadAnswer."""
    views = document["inputs"]
    # A model with state and without a time axis is fed frame by frame; what goes over the wire then
    # has one frame for every time step.
    is_framed = bool(document["states"]) and not any("time" in each["shape"] for each in views)
    return ModelInfo(
        name=text(document["name"]),
        version=index(document["version"]),
        versions=tuple(document["versions"]),
        program=document["program"],
        device=document["device"],
        streaming=document["streaming"],
        streaming_reason=document.get("streaming_reason"),
        inputs=_read_tensors(views, is_framed=is_framed),
        outputs=_read_tensors(document["outputs"], is_framed=is_framed),
        states=_read_tensors(document["states"], is_framed=False),
        max_steps=index(document["max_steps"]),
        parity=document["parity"],
    )


def little(dtype: str) -> np.dtype[Any]:
    """The dtype of this name in the wire's byte order; where that is the machine's own, the very
    object that arrays have.
    """
    return np.dtype(np.dtype(dtype).newbyteorder("<").str)


def _read_tensors(views: Any, *, is_framed: bool) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            name=text(each["name"]),
            dtype=little(each["dtype"]),
            shape=_on_wire(each["shape"], is_framed=is_framed),
            low=each.get("low"),
            high=each.get("high"),
        )
        for each in views
    )


def _on_wire(axes: Any, *, is_framed: bool) -> tuple[Axis, ...]:
    sizes: tuple[Axis, ...] = tuple(axis for axis in axes if isinstance(axis, int))
    return ("time", *sizes) if is_framed or "time" in axes else sizes
