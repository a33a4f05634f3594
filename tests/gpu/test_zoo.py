"""The reference models, in both programs, beside the untouched modules in eager torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carousel.models.zoo.catalog import REFERENCES
from carousel.service.engine.request import NO_SLOT, Request
from tests.gpu.bench import Bench, apart
from tests.gpu.zoo import FEATURES, LAST_ALONE, Zoo
from tests.harness.places import Place, places

# Said once a process, by eager torch.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

# Without a device two will do: their way to one is every other model's.
LATE = ("gru-10-20-2", "lstm-proj")
WHOLE_ONLY = ("bilstm-10-20-2",)


def _named(*but: str) -> list[Any]:
    """Each place with the models that are run there."""
    pairs = [(place, name) for place in places("late") for name in LATE]
    pairs += [(place, name) for place in places("cuda") for name in FEATURES]
    return [
        pytest.param(*place.values, name, id=f"{name}-{place.id}", marks=place.marks)
        for place, name in pairs
        if name not in but
    ]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """All of them, none exported before it is asked for."""
    return Zoo(tmp_path_factory.mktemp("zoo"))


def _close(found: Any, expected: Any) -> None:
    bound = 1e-5 * max(1.0, float(np.abs(expected).max()))
    assert apart(found, expected) <= bound


def test_the_list_is_the_zoo() -> None:
    """No reference model is left out, but the two halves of the attention decoder."""
    assert {*FEATURES, "attention", "reverse-encoder", "reverse-decoder"} == set(REFERENCES)


@pytest.mark.parametrize(("place", "name"), _named())
def test_whole_sequences_equal_eager(zoo: Zoo, place: Place, name: str) -> None:
    """Five of mixed lengths at once."""
    bench = Bench(place.load(zoo.artifact(name)))
    sequences = _sequences(name, (9, 4, 1, 9, 7))
    requests = [bench.request(each) for each in sequences]
    bench.run(requests)
    for request, x in zip(requests, sequences, strict=True):
        assert request.error is None
        (found,) = request.outputs.values()
        _close(found, zoo.whole(name, x))


@pytest.mark.parametrize("cuts", [(4, 5), (1,) * 9], ids=["two pieces", "single steps"])
@pytest.mark.parametrize(("place", "name"), _named(*WHOLE_ONLY))
def test_pieces_equal_eager(zoo: Zoo, place: Place, name: str, cuts: tuple[int, ...]) -> None:
    """Five sessions that go on together answer what the module answers to all of it."""
    bench = Bench(place.load(zoo.artifact(name)))
    sequences = _sequences(name, (9,) * 5)
    requests: list[Request] = []
    pieces: list[list[Any]] = [[] for _ in sequences]
    position = 0
    for cut in cuts:
        sources = [each.target for each in requests] or [NO_SLOT] * len(sequences)
        requests = [
            bench.request(x[position : position + cut], source=source)
            for x, source in zip(sequences, sources, strict=True)
        ]
        bench.run(requests)
        for answered, request in zip(pieces, requests, strict=True):
            assert request.error is None
            answered.extend(request.outputs.values())
        position += cut
    for x, answered in zip(sequences, pieces, strict=True):
        found = answered[-1] if name == LAST_ALONE else np.concatenate(answered)
        _close(found, zoo.whole(name, x))


@pytest.mark.parametrize("place", places("cuda"))
def test_attention_equals_eager(zoo: Zoo, place: Place, tmp_path: Path) -> None:
    """A model without a state: three inputs, two outputs."""
    bench = Bench(place.load(zoo.artifact("attention")))
    values = REFERENCES["attention"].example()
    inputs = {name: each.numpy() for name, each in zip("QKV", values, strict=True)}
    request = Request(inputs, 1, 1e18)
    bench.run([request])
    assert request.error is None
    for found, expected in zip(request.outputs.values(), zoo.attention(*values), strict=True):
        _close(found, expected)


def _sequences(name: str, lengths: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(len(name))
    return [rng.standard_normal((length, FEATURES[name])).astype(np.float32) for length in lengths]
