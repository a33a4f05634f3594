"""Inputs, states and outputs of a model on the wire."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.api.encoding.inputs import Inputs
from carousel.service.api.encoding.outputs import Outputs
from carousel.service.api.encoding.states import States
from carousel.service.api.v1.media.choose import RAW, media_for_outputs
from carousel.service.api.v1.media.safetensors import parse_tensors
from carousel.service.errors import (
    InvalidRequest,
    Malformed,
    NotAcceptable,
    ShapeMismatch,
    UnsupportedMediaType,
)

SPEC = ModelSpec(
    inputs=(
        InputSpec(name="x", dtype="float32", axes=("batch", "time", 2)),
        InputSpec(name="who", dtype="int64", axes=("batch",), low=0, high=3),
        InputSpec(name="rate", dtype="int64", axes=(), constant=16000),
    ),
    outputs=(
        OutputSpec(name="y", dtype="float32", axes=("batch", "time", 2), per="step"),
        OutputSpec(name="score", dtype="float32", axes=("batch",), per="sequence"),
    ),
    states=(StateSpec(name="h", dtype="float32", axes=(1, "batch", 2), output="h_out"),),
    streaming="step",
)
INPUTS = Inputs(SPEC, max_steps=4)


def test_inputs_by_name() -> None:
    """Several inputs come by name; one without time is one value; constants are never sent."""
    read = INPUTS.read_json({"x": [[1, 2], [3, 4]], "who": 3}, "inputs", bools=False)
    assert read.num_steps == 2
    assert {name: each.shape for name, each in read.inputs.items()} == {"x": (2, 2), "who": ()}
    body = save({"x": np.ones((3, 2), np.float32), "who": np.array(2)})
    assert INPUTS.read_tensors(parse_tensors(body)).num_steps == 3


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ([[1, 2]], "inputs: a list of 1 given; expected an object of 2 inputs: x, who"),
        ({"x": [[1, 2]]}, "inputs.who: nothing given"),
        ({"x": [[1, 2]], "who": 1, "rate": 1}, "inputs.rate: no such input"),
        ({"x": [[1, 2]], "who": 4}, "inputs.who: 4 given; expected an integer from 0 to 3"),
    ],
)
def test_wrong_names_are_named(value: Any, detail: str) -> None:
    """A missing or unknown input is named."""
    with pytest.raises(InvalidRequest) as raised:
        INPUTS.read_json(value, "inputs", bools=False)
    assert detail in raised.value.detail


def test_inputs_of_unequal_length() -> None:
    """Inputs with time have the same number of time steps."""
    spec = ModelSpec(
        inputs=tuple(
            InputSpec(name=name, dtype="float32", axes=("time", "batch", 1)) for name in "ab"
        ),
        outputs=SPEC.outputs,
    )
    with pytest.raises(ShapeMismatch, match="time steps"):
        Inputs(spec, max_steps=4).read_json({"a": [[1]], "b": [[1], [2]]}, "inputs", bools=False)


def test_raw_bytes_hold_one_tensor() -> None:
    """Raw bytes are refused where the input or the answer would be several tensors."""
    with pytest.raises(UnsupportedMediaType, match="2 inputs"):
        INPUTS.read_bytes(bytes(8))
    with pytest.raises(NotAcceptable, match="y, score"):
        media_for_outputs(None, RAW, Outputs(SPEC), with_state=False)


def test_framed_inputs_gain_time() -> None:
    """A model with state and without time takes many frames in one request."""
    spec = ModelSpec(
        inputs=(InputSpec(name="frame", dtype="float32", axes=("batch", 2)),),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 1), per="step"),),
        states=SPEC.states,
        streaming="step",
    )
    assert Inputs(spec, max_steps=4).read_json([[1, 2]] * 3, "inputs", bools=False).num_steps == 3


STATES = States(SPEC)


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ([], "state: a list of 0 given; expected an object of the states h"),
        ({}, "state.h: nothing given; expected the states h"),
        ({"h": [[1, 2]], "c": [[1, 2]]}, "state.c: no such state; expected the states h"),
        ({"h": [[1, 2, 3]]}, "state.h[0]: a list of 3 given; expected a list of 2"),
    ],
)
def test_wrong_states_are_named(value: Any, detail: str) -> None:
    """A state that is missing, unknown or of the wrong shape is named."""
    with pytest.raises(InvalidRequest) as raised:
        STATES.read_json(value, "state", bools=False)
    assert detail in raised.value.detail


def test_states_in_safetensors() -> None:
    """States travel as `state.<name>`, and nothing else may be in the body."""
    good = save({"state.h": np.ones((1, 2), np.float32)})
    assert STATES.read_tensors(parse_tensors(good))["h"].tolist() == [[1, 1]]
    for tensors, detail in (
        ({"h": np.ones((1, 2), np.float32)}, "h: not a state"),
        ({"state.h": np.ones((2, 2), np.float32)}, "state.h: the shape [2, 2] given"),
        ({"state.h": np.ones((1, 2))}, "state.h: float64 given; expected float32[1][2]"),
    ):
        with pytest.raises(InvalidRequest) as raised:
            STATES.read_tensors(parse_tensors(save(tensors)))
        assert detail in raised.value.detail


def test_broken_safetensors_are_malformed() -> None:
    """A body that announces more than it holds is refused before anything is made of it."""
    good = save({"x": np.ones((1, 2), np.float32)})
    for body in (
        b"",
        b"short",
        (2**63).to_bytes(8, "little") + b"{}",
        (10**6).to_bytes(8, "little") + bytes(10**6),
        good[:-1],
        good + b"\0",
        (2).to_bytes(8, "little") + b"[]",
    ):
        with pytest.raises(Malformed):
            parse_tensors(body)
