"""Sessions, chunks, ragged batches and rows at fault, beside the module itself in float64."""

from pathlib import Path

import numpy as np
import pytest

from carousel.models.row import Array
from carousel.service.engine.request import NO_SLOT, Request
from carousel.service.errors import BackendFailed, NonFiniteState
from tests.gpu.bench import (
    NUM_INPUTS,
    Bench,
    Doubles,
    apart,
    check_states,
    in_float64,
    lstm_bench,
    lstm_case,
)
from tests.harness.places import Place, places

BOUND = 1e-5
PLACES = places("late", "cuda")


def _sequence(rng: np.random.Generator, num_steps: int) -> Array:
    return rng.standard_normal((num_steps, NUM_INPUTS)).astype(np.float32)  # (T, F)


class _Session:
    """A sequence that is fed in pieces, and what came of it."""

    def __init__(self, x: Array) -> None:
        self.x = x
        self.position = 0
        self.slot = NO_SLOT
        self.outputs: list[Array] = []

    def request(self, bench: Bench, num_steps: int) -> Request:
        """The next time steps."""
        piece = self.x[self.position : self.position + num_steps]
        return bench.request(piece, source=self.slot)

    def done(self, bench: Bench, request: Request) -> None:
        """They have run: the session stands in the fresh slot."""
        assert request.error is None, request.error
        self.outputs.append(request.outputs["y"])
        self.position += request.num_steps
        bench.free(self.slot)
        self.slot = request.target


@pytest.mark.parametrize("place", PLACES)
def test_sessions_fed_in_pieces_equal_the_whole(place: Place, tmp_path: Path) -> None:
    """Forty of them, some at a time, by single steps and by chunks, in slots that others left."""
    rng = np.random.default_rng(1)
    case, bench = lstm_case(), lstm_bench(place, tmp_path, max_batch=16)
    sessions = [_Session(_sequence(rng, int(rng.integers(20, 120)))) for _ in range(40)]
    last: dict[_Session, Request] = {}
    while unfinished := [each for each in sessions if each.position < len(each.x)]:
        chosen = [each for each in unfinished if rng.random() < 0.6]
        running = {each: each.request(bench, int(rng.choice([1, 1, 5, 17, 60]))) for each in chosen}
        bench.run(running.values())
        for session, request in running.items():
            session.done(bench, request)
        last |= running
    for session in sessions:
        outputs, states = in_float64(case, session.x)
        assert apart(np.concatenate(session.outputs), outputs) <= BOUND
        check_states(bench, last[session], states, BOUND)


@pytest.mark.parametrize("place", PLACES)
def test_batches_of_every_size(place: Place, tmp_path: Path) -> None:
    """From 1 row to 70, whatever size the batch is filled up to: each row has its own answer."""
    rng = np.random.default_rng(2)
    case, bench = lstm_case(), lstm_bench(place, tmp_path)
    sequences = [_sequence(rng, 1) for _ in range(70)]
    expected = [in_float64(case, each) for each in sequences]
    for num_rows in range(1, 71):
        requests = [bench.request(each) for each in sequences[:num_rows]]
        bench.run(requests)
        for request, (outputs, states) in zip(requests, expected, strict=False):
            assert apart(request.outputs["y"], outputs) <= BOUND
            check_states(bench, request, states, BOUND)
            bench.free(request.target)


@pytest.mark.parametrize("place", PLACES)
def test_rows_of_mixed_lengths(place: Place, tmp_path: Path) -> None:
    """Padded or not, as the program allows: what is behind a row's end is nowhere in its answer."""
    rng = np.random.default_rng(3)
    case, bench = lstm_case(), lstm_bench(place, tmp_path)
    sequences = [_sequence(rng, length) for length in (16, 15, 13, 12, 16, 14, 40, 37, 33, 1, 2)]
    requests = [bench.request(each) for each in sequences]
    bench.run(requests)
    for request, each in zip(requests, sequences, strict=True):
        outputs, states = in_float64(case, each)
        assert apart(request.outputs["y"], outputs) <= BOUND
        check_states(bench, request, states, BOUND)


@pytest.mark.parametrize("place", PLACES)
def test_a_poisoned_row_is_refused_alone(place: Place, tmp_path: Path) -> None:
    """NaN in a state, at each place of a batch that is filled up: its neighbours are served."""
    rng = np.random.default_rng(4)
    case, bench = lstm_case(), lstm_bench(place, tmp_path)
    sequences = [_sequence(rng, 1) for _ in range(5)]
    expected: list[tuple[Doubles, dict[str, Doubles]]] = [in_float64(case, x) for x in sequences]
    poison = b"\xff" * bench.loaded.layout.nbytes
    for poisoned in range(5):
        requests = [
            bench.request(x, state=poison if index == poisoned else None)
            for index, x in enumerate(sequences)
        ]
        bench.run(requests)
        for index, (request, (outputs, states)) in enumerate(zip(requests, expected, strict=True)):
            if index == poisoned:
                assert isinstance(request.error, NonFiniteState)
            else:
                assert request.error is None
                assert apart(request.outputs["y"], outputs) <= BOUND
                check_states(bench, request, states, BOUND)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", PLACES)
def test_a_row_that_fails_leaves_its_neighbours_served(place: Place, tmp_path: Path) -> None:
    """A row of another width fails by itself; those beside it answer as the module does."""
    rng = np.random.default_rng(5)
    case, bench = lstm_case(), lstm_bench(place, tmp_path)
    sequences = [_sequence(rng, 1) for _ in range(6)]
    wrong = bench.request(np.zeros((1, NUM_INPUTS - 1), np.float32))
    requests = [bench.request(each) for each in sequences]
    bench.run([*requests[:4], wrong, *requests[4:]])
    assert isinstance(wrong.error, BackendFailed)
    for request, each in zip(requests, sequences, strict=True):
        assert request.error is None
        assert apart(request.outputs["y"], in_float64(case, each)[0]) <= BOUND


@pytest.mark.parametrize("place", PLACES)
def test_the_host_gets_the_states_that_are_wanted(place: Place, tmp_path: Path) -> None:
    """Some of a batch, from its middle and its end: each its own, and none for the others."""
    rng = np.random.default_rng(6)
    case, bench = lstm_case(), lstm_bench(place, tmp_path)
    sequences = [_sequence(rng, 1) for _ in range(7)]
    wanted = {2, 3, 6}
    requests = [
        bench.request(each, commits=index in wanted) for index, each in enumerate(sequences)
    ]
    bench.run(requests)
    assert {index for index, each in enumerate(requests) if each.state_out} == wanted
    for index in wanted:
        check_states(bench, requests[index], in_float64(case, sequences[index])[1], BOUND)
