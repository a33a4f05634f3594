"""What a backend is: a program that runs, and the pool of states beside it on the same device."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array

# A state as the backend holds it: a NumPy array or a torch tensor. Only the backend looks inside.
DeviceArray = Any
# Rows of the pool on the host, (B, N).
ByteRows = npt.NDArray[np.uint8]


class DeviceFailed(Exception):
    """The device itself failed, not a row: the model cannot be served any more."""


class BackendRefused(Exception):
    """The program cannot be served here; the message says why."""


class Pool(Protocol):
    """The states of all sessions of one model that are in memory: `num_slots` rows of bytes.

    A row is a session's state as models/row.py lays it out. Used by the engine's thread alone.
    What `finite` and `to_host` give is there once the backend's `wait` has returned.
    """

    num_slots: int

    def gather(self, slots: Sequence[int]) -> DeviceArray:
        """The rows of `slots`, (B, N) bytes, as a copy."""

    def unpack(self, rows: DeviceArray) -> list[DeviceArray]:
        """The states in rows (B, N), in the spec's order and in model layout."""

    def pack(self, states: Sequence[DeviceArray], rows: DeviceArray) -> DeviceArray:
        """Rows (B, N): `rows` with the new states written over those that are not fixed."""

    def finite(self, rows: DeviceArray) -> npt.NDArray[np.bool_]:
        """Of each row whether all states that must be finite are, (B,); more rows may follow."""

    def scatter(self, slots: Sequence[int], rows: DeviceArray) -> None:
        """Write rows (B, N) into `slots`; what a backend has added behind them goes nowhere."""

    def write(self, slot: int, row: bytes) -> None:
        """Write one row that comes from the host."""

    def to_host(self, rows: DeviceArray, indexes: Sequence[int]) -> ByteRows:
        """Some of the rows on the host, (W, N), by ascending indexes; they may be `rows` itself."""


class Backend(Protocol):
    """A program that runs. Used by the engine's thread alone once it is loaded."""

    mixed_lengths: bool

    def make_pool(self, num_slots: int) -> Pool:
        """A pool on the device that the program runs on; its memory is touched as it is used."""

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[DeviceArray],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[DeviceArray]]:
        """Outputs on the host and new states on the device, in the spec's order and model layout.

        The outputs are filled once `wait` has returned. Raises DeviceFailed when the device is
        lost, any other exception when this batch failed.
        """

    def wait(self) -> None:
        """Wait for what `run` and the pool still have on the way to the host: once a run.

        Raises DeviceFailed when the device is lost; no row is at fault any more.
        """


class JoiningBackend(Backend, Protocol):
    """A backend whose arrays can be joined where they are; `run` takes such inputs too."""

    def place(self, array: Array) -> DeviceArray:
        """An array from the host on the device."""

    def join(self, parts: Sequence[DeviceArray], axis: int) -> DeviceArray:
        """Arrays on the device, one behind the other along `axis`, as a copy."""
