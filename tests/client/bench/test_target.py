"""Which inputs a model takes, by what the server says of it."""

from typing import Any

import numpy as np
import pytest

from carousel_bench.failure import Failure
from carousel_bench.target import choose, read_target
from tests.client.described import describe

RNG = np.random.default_rng(7)


def one_input(**more: Any) -> dict[str, Any]:
    """A model of one input."""
    return describe(inputs=[{"name": "x", "dtype": "float32", "shape": ["time", "batch"]} | more])


def test_floats_have_the_shape_and_the_dtype() -> None:
    """With the time axis first and without a batch axis, as they go over the wire."""
    inputs = read_target(describe(2)).inputs(5, RNG)
    assert {name: (each.shape, each.dtype) for name, each in inputs.items()} == {
        "x0": ((5, 3), np.dtype("<f4")),
        "x1": ((5, 3), np.dtype("<f4")),
    }


def test_integers_stay_within_their_bounds_and_reach_them() -> None:
    """Both ends are included."""
    target = read_target(one_input(dtype="int64", low=3, high=5))
    assert set(target.inputs(500, RNG)["x"].tolist()) == {3, 4, 5}


def test_an_input_without_a_time_axis_is_one_value() -> None:
    """For all time steps of a request."""
    scale = {"name": "scale", "dtype": "float32", "shape": ["batch", 2]}
    target = read_target(describe(inputs=[*describe()["inputs"], scale]))
    assert target.inputs(5, RNG)["scale"].shape == (2,)


def test_a_model_without_a_time_axis_takes_one_item() -> None:
    """However long sequences shall be."""
    inputs = [{"name": "q", "dtype": "float32", "shape": ["batch", 4]}]
    assert read_target(describe(inputs=inputs, states=[], streaming="none")).num_steps(64) == 1


def test_lengths_keep_to_what_the_model_takes() -> None:
    """No fewer time steps than its least, no more than its most."""
    target = read_target(describe(min_steps=4))
    assert [target.num_steps(each) for each in (1, 64, 1000)] == [4, 64, 100]


def test_fixed_states_are_given() -> None:
    """Those that must be there when a session opens, and no others."""
    memory = {"name": "m", "dtype": "float32", "shape": ["batch", 8, 2], "fixed": True}
    target = read_target(describe(states=[*describe()["states"], memory]))
    assert {name: each.shape for name, each in target.state(RNG).items()} == {"m": (8, 2)}


def test_without_a_name_it_is_the_first_that_fits() -> None:
    """With sessions where they are wanted; where there is none, the first."""
    whole = describe(name="whole", streaming="none")
    models = [whole, describe()]
    assert choose(models, None, with_sessions=True).model.name == "m"
    assert choose(models, None, with_sessions=False).model.name == "whole"
    assert choose([whole], None, with_sessions=True).model.name == "whole"


@pytest.mark.parametrize("models", [[], [{}], [describe()], [{"name": "nope"}]])
def test_what_is_not_there_is_a_sentence(models: list[dict[str, Any]]) -> None:
    """No model, an answer of another kind, another name."""
    with pytest.raises(Failure, match="model"):
        choose(models, "nope", with_sessions=True)
