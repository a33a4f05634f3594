"""A loaded model's core, driven on this thread, and LSTMs in float64 to hold it against."""

import copy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from carousel.models.repository import Repository
from carousel.models.row import Array
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.request import NO_SLOT, Request
from tests.harness.layouts import lstm
from tests.harness.places import Place
from tests.harness.programs import Case

Doubles = npt.NDArray[np.float64]
NUM_INPUTS, HIDDEN_SIZE = 10, 20


class Bench:
    """Hands out slots whose every byte is 0xff: a state that is read before it is written shows."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.core = loaded.engine.core
        self._slots = loaded.engine.slots
        self._pool = self.core._pool
        self._garbage = b"\xff" * loaded.layout.nbytes
        self._input = loaded.spec.sent_inputs[0].name

    def request(
        self, x: Array, *, source: int = NO_SLOT, state: bytes | None = None, commits: bool = True
    ) -> Request:
        """A sequence x (T, F) into a fresh slot."""
        return Request(
            {self._input: x},
            len(x),
            1e18,
            source=source,
            state=state,
            target=self._fresh(),
            commits=commits,
        )

    def run(self, requests: Iterable[Request]) -> None:
        """Run these to their end."""
        self.core.scheduler.add(requests)
        while not self.core.scheduler.is_idle:
            self.core.step()

    def free(self, slot: int) -> None:
        """Give a slot back."""
        if slot != NO_SLOT:
            self._slots.give(slot)

    def _fresh(self) -> int:
        slot = self._slots.take()
        assert slot is not None, "no slot is free"
        if self.loaded.spec.states:
            self._pool.write(slot, self._garbage)
        return slot


def lstm_bench(place: Place, folder: Path, *, ragged: bool = True, max_batch: int = 256) -> Bench:
    """A bench of `lstm_case`, loaded at a place."""
    manifest, files = lstm_case(ragged=ragged).artifact(kinds=(place.kind,))
    return Bench(place.load(Repository(folder).add(manifest, files), max_batch=max_batch))


def lstm_case(*, ragged: bool = True) -> Case:
    """An LSTM of two layers: 10 inputs, 20 hidden."""
    return lstm(NUM_INPUTS, HIDDEN_SIZE, ragged=ragged)


def in_float64(case: Case, x: Array) -> tuple[Doubles, dict[str, Doubles]]:
    """What the module itself, in float64, makes of a sequence (T, F) from its start: outputs (T, H)
    and final states (L, H).
    """
    module = copy.deepcopy(case.module).double()
    zeros = torch.zeros(2, 1, HIDDEN_SIZE, dtype=torch.float64)  # (L, 1, H)
    with torch.no_grad():
        y, h, c = module(torch.from_numpy(x.astype(np.float64))[:, None], zeros, zeros)
    return y[:, 0].numpy(), {"h": h[:, 0].numpy(), "c": c[:, 0].numpy()}


def apart(found: Array, expected: Array) -> float:
    """The largest difference of two arrays of one shape; NaN where either has one."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))


def check_states(bench: Bench, request: Request, expected: dict[str, Doubles], most: float) -> None:
    """The state that a request brought to the host, beside the module's own."""
    assert request.state_out is not None
    found = bench.loaded.layout.unpack(request.state_out)
    for name, value in expected.items():
        assert apart(found[name], value) <= most, name
