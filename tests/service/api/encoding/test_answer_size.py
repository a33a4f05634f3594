"""What an answer takes is known before it is made; large ones, written in parts, are the same."""

from typing import get_args

import numpy as np
import orjson
import pytest

from carousel.models.spec import Dtype, ModelSpec, OutputSpec
from carousel.service.api.encoding.answer_size import AnswerSize
from carousel.service.api.encoding.arrays import array_json
from tests.harness.fakes import WITNESS


@pytest.mark.parametrize(
    "shape", [(300_000,), (1, 300_000), (3, 300_000), (300_000, 1), (7, 5, 9999), (1, 1, 300_000)]
)
def test_large_arrays_in_parts_are_the_same(shape: tuple[int, ...]) -> None:
    """However the megabytes are cut."""
    array = np.random.default_rng(1).standard_normal(shape).astype("<f4")
    array.reshape(-1)[77] = np.nan
    text = array_json(array)
    again = orjson.loads(text.replace(b'"NaN"', b"null"))
    expected = array.astype("<f8")
    np.testing.assert_array_equal(np.asarray(again, "<f8").astype("<f4"), expected.astype("<f4"))


# As long in JSON as any of their kind: of all of float16, of millions drawn of the others.
LONGEST = {"float16": -1.1e-06, "float32": -0.0000063184107, "float64": -1.0084623976315037e-201}


def _longest(dtype: str, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Numbers that are as long as any in JSON."""
    if dtype in LONGEST:
        return np.full(count, LONGEST[dtype], dtype)
    if dtype == "bool":
        return np.zeros(count, bool)
    return np.full(count, np.iinfo(dtype).min, dtype)


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_an_answer_is_not_underrated(dtype: Dtype) -> None:
    """Arrays and their JSON take no more than was said, whatever the numbers are."""
    spec = ModelSpec(
        inputs=WITNESS.inputs,
        outputs=(OutputSpec(name="y", dtype=dtype, axes=("batch", "time", 50), per="step"),),
        states=WITNESS.states,
        streaming="step",
    )
    array = _longest(dtype, 50 * 20)
    taken = array.nbytes + len(array_json(array).strip(b"[]"))
    assert taken <= AnswerSize(spec).of(20) <= 40 * array.size
