"""What the largest request of a model has: no request that is right has more."""

from typing import Any

import numpy as np
import orjson
import pytest

from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.api.encoding.json_size import JsonSize, LargestRequest
from carousel.service.errors import SequenceTooLong

MAX_STEPS = 50
OUT = OutputSpec(name="y", dtype="float32", axes=("batch", "time", 1), per="step")
SPECS = {
    "rows": ModelSpec(
        inputs=(InputSpec(name="x", dtype="float32", axes=("batch", "time", 7)),), outputs=(OUT,)
    ),
    "tokens": ModelSpec(
        inputs=(InputSpec(name="x", dtype="int64", axes=("batch", "time")),), outputs=(OUT,)
    ),
    "many": ModelSpec(
        inputs=(
            InputSpec(name="image", dtype="float32", axes=("batch", "time", 3, 4)),
            InputSpec(name="rate", dtype="float32", axes=("batch", "time")),
        ),
        outputs=(OUT,),
        states=(
            StateSpec(name="h", dtype="float32", axes=(2, "batch", 5), output="h_out"),
            StateSpec(
                name="cache", dtype="float32", axes=("batch", 3, 4), output="o", finite=False
            ),
        ),
        streaming="step",
    ),
}


def _row(spec: ModelSpec, steps: int) -> Any:
    arrays = {each.name: np.zeros((steps, *each.row_shape)).tolist() for each in spec.sent_inputs}
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _state(spec: ModelSpec) -> dict[str, Any]:
    return {each.name: np.full(each.session_shape, "-Infinity").tolist() for each in spec.states}


def _requests(spec: ModelSpec) -> dict[str, Any]:
    one, count = _row(spec, 1), MAX_STEPS
    named = {f"{'i' * 100}-{row}": one for row in range(count)}
    tensors = [
        {
            "name": each.name,
            "datatype": "FP32",
            "shape": [count, 1, *each.row_shape],
            "data": np.zeros((count, 1, *each.row_shape)).tolist(),
        }
        for each in spec.sent_inputs
    ]
    return {
        "a step": {"inputs": _row(spec, count), "position": 7, "commit": True},
        "sequences": {"sequences": [one] * count, "states": [_state(spec) or None] * count},
        "steps": {
            "steps": [
                {"session_id": name, "inputs": inputs, "position": 2**53}
                for name, inputs in named.items()
            ]
        },
        "a state": {"model": "m" * 100, "session_id": "i", "state": _state(spec), "ttl_s": 1.5},
        "tensors": {"id": "x", "parameters": {"sequence_id": 5}, "inputs": tensors},
        "fork": {"session_ids": list(named), "ttl_s": 60},
    }


@pytest.mark.parametrize("name", SPECS)
def test_no_request_that_is_right_has_more(name: str) -> None:
    """Of all kinds, with each step in a row of its own; pretty or not."""
    spec = SPECS[name]
    largest = LargestRequest.of(spec, MAX_STEPS)
    for document in _requests(spec).values():
        for option in (None, orjson.OPT_INDENT_2):
            largest.check(JsonSize.of(orjson.dumps(document, option=option)))


@pytest.mark.parametrize("name", SPECS)
def test_a_few_times_as_many_steps_are_refused(name: str) -> None:
    """The bound is no more than a few times what is right, beside a few kilobytes."""
    spec = SPECS[name]
    many = {"sequences": [_row(spec, 1)] * (MAX_STEPS * 100)}
    with pytest.raises(SequenceTooLong):
        LargestRequest.of(spec, MAX_STEPS).check(JsonSize.of(orjson.dumps(many)))
    any_of = LargestRequest.of_any(
        [LargestRequest.of(each, MAX_STEPS) for each in SPECS.values()], MAX_STEPS
    )
    any_of.check(JsonSize.of(orjson.dumps(_requests(spec)["steps"])))
