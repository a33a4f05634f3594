"""The catalog: every reference model has the shapes it is known by, and can be built again."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import nn

from carousel.models.zoo.catalog import REFERENCES
from tests.models.zoo.zoo import built

NAMES = (
    "lstm-10-20-2",
    "bilstm-10-20-2",
    "rnn-1027-256",
    "rnn-5-6-2",
    "lstm-5-6-2",
    "gru-10-20-2",
    "lstm-proj",
    "simple-lstm",
    "hello-rnncell",
    "hello-rnn",
    "attention",
    "reverse-encoder",
    "reverse-decoder",
)

Shapes = tuple[tuple[int, ...], ...]

# torch says once a process that oneDNN has no LSTM with projections, and uses another one.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


@dataclass(frozen=True, slots=True)
class Again:
    """A model built anew, what was said, and whether random numbers went on as if nothing was."""

    module: nn.Module
    lines: tuple[str, ...]
    leaves_random_numbers: bool


@cache
def _again(name: str) -> Again:
    """After other random numbers, without gradients."""
    torch.rand(7)
    before = torch.get_rng_state()
    lines: list[str] = []
    with torch.no_grad():
        module = REFERENCES[name].build(lines.append)
    return Again(module, tuple(lines), torch.equal(torch.get_rng_state(), before))


def _shapes(answer: object) -> Shapes:
    """Shapes of all tensors in nested tuples, left to right."""
    if isinstance(answer, torch.Tensor):
        return (tuple(answer.shape),)
    assert isinstance(answer, tuple)
    return tuple(shape for part in answer for shape in _shapes(part))


def test_catalog_is_complete_and_in_order() -> None:
    """The catalog lists the reference models in their documented order, each under its name."""
    assert tuple(REFERENCES) == NAMES
    assert tuple(reference.name for reference in REFERENCES.values()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_summary_is_one_line(name: str) -> None:
    """A summary fits on one line of a terminal."""
    summary = REFERENCES[name].summary
    assert summary
    assert "\n" not in summary
    assert len(summary) <= 80


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("lstm-10-20-2", ((5, 3, 10),), ((5, 3, 20), (2, 3, 20), (2, 3, 20))),
        ("bilstm-10-20-2", ((5, 3, 10),), ((5, 3, 40), (4, 3, 20), (4, 3, 20))),
        ("rnn-1027-256", ((35, 2, 1027),), ((35, 2, 256), (1, 2, 256))),
        ("rnn-5-6-2", ((1, 3, 5),), ((1, 3, 6), (2, 3, 6))),
        ("lstm-5-6-2", ((1, 3, 5),), ((1, 3, 6), (2, 3, 6), (2, 3, 6))),
        ("gru-10-20-2", ((5, 3, 10),), ((5, 3, 20), (2, 3, 20))),
        ("lstm-proj", ((5, 3, 10),), ((5, 3, 8), (2, 3, 8), (2, 3, 20))),
        ("simple-lstm", ((5, 15, 10),), ((5, 1, 1),)),
        ("hello-rnncell", ((5, 1, 4),), ((5, 1, 4),)),
        ("hello-rnn", ((5, 1, 4),), ((5, 1, 4), (1, 1, 4))),
        ("attention", ((1, 1, 32), (1, 1, 32), (1, 32, 64)), ((1, 1, 64), (1, 32))),
        ("reverse-encoder", ((8, 3),), ((8, 3, 64), (3, 32))),
        (
            "reverse-decoder",
            ((5,), (5, 32), (5, 32), (5, 32, 64), (5,)),
            ((5, 28), (5, 32), (5, 32)),
        ),
    ],
)
def test_example_and_answer_have_the_known_shapes(
    name: str, inputs: Shapes, outputs: Shapes
) -> None:
    """The example has the shapes that the model is known by, and so has the answer to it."""
    example = REFERENCES[name].example()
    assert _shapes(example) == inputs
    assert _shapes(built(name)(*example)) == outputs


@pytest.mark.parametrize(
    ("name", "x", "states"),
    [
        ("lstm-10-20-2", (5, 3, 10), ((2, 3, 20), (2, 3, 20))),
        ("bilstm-10-20-2", (5, 3, 10), ((4, 3, 20), (4, 3, 20))),
        ("rnn-1027-256", (35, 2, 1027), ((1, 2, 256),)),
        ("rnn-5-6-2", (1, 3, 5), ((2, 3, 6),)),
        ("lstm-5-6-2", (1, 3, 5), ((2, 3, 6), (2, 3, 6))),
        ("gru-10-20-2", (5, 3, 10), ((2, 3, 20),)),
        ("lstm-proj", (5, 3, 10), ((2, 3, 8), (2, 3, 20))),
        ("hello-rnn", (5, 3, 4), ((1, 3, 4),)),
    ],
)
def test_layers_take_their_state_and_return_one_like_it(
    name: str, x: tuple[int, ...], states: Shapes
) -> None:
    """A bare layer takes an initial state of the known shapes and returns the next one."""
    initial = tuple(torch.ones(shape) for shape in states)  # each (L, B, H)
    _, final = built(name)(torch.ones(x), initial if len(initial) > 1 else initial[0])
    assert _shapes(final) == states


@pytest.mark.parametrize("name", NAMES)
def test_two_builds_are_bit_equal(name: str) -> None:
    """A model built again, after other random numbers and without gradients, is the same."""
    first, second = built(name).state_dict(), _again(name).module.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_build_and_example_leave_the_random_numbers_alone(name: str) -> None:
    """The caller's random numbers go on as if nothing had been built."""
    assert _again(name).leaves_random_numbers
    before = torch.get_rng_state()
    REFERENCES[name].example()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_built_models_are_ready_to_serve(name: str) -> None:
    """A built model is in eval mode and holds no gradients."""
    module = built(name)
    assert not any(part.training for part in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_build_says_what_it_does(name: str) -> None:
    """Every build reports at least one line."""
    lines = _again(name).lines
    assert lines
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_the_same_each_time(name: str) -> None:
    """Two calls of an example give equal tensors, of float32 or of ids and lengths."""
    first, second = REFERENCES[name].example(), REFERENCES[name].example()
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert {tensor.dtype for tensor in first} <= {torch.float32, torch.int64}
