"""A session's state as one run of bytes, there and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.models.row import RowLayout
from carousel.models.spec import Axis, Dtype, StateSpec

DTYPES: tuple[Dtype, ...] = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "bool",
)


@st.composite
def _states(draw: st.DrawFn) -> list[StateSpec]:
    states = []
    for index in range(draw(st.integers(0, 4))):
        sizes: list[Axis] = list(draw(st.lists(st.integers(1, 4), max_size=3)))
        fold = 1
        if draw(st.booleans()):
            sizes.insert(draw(st.integers(0, len(sizes))), "batch")
            fold = draw(st.integers(1, 3))
        states.append(
            StateSpec(
                name=f"s{index}",
                dtype=draw(st.sampled_from(DTYPES)),
                axes=tuple(sizes),
                output=f"s{index}_out",
                fold=fold,
            )
        )
    return states


@given(_states(), st.integers(0, 1000))
def test_any_state_comes_back_as_it_was(states: list[StateSpec], seed: int) -> None:
    """Any number of states, of any dtype and shape, single numbers too: the same again."""
    rng = np.random.default_rng(seed)
    layout = RowLayout(states)
    values = {
        each.name: rng.integers(0, 100, each.session_shape).astype(each.dtype) for each in states
    }
    row = layout.pack(values)
    found = layout.unpack(row)
    assert len(row) == layout.nbytes
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert (found[name] == value).all()


@given(_states())
def test_states_are_aligned_and_apart(states: list[StateSpec]) -> None:
    """Every state begins at a multiple of 16 bytes, and none lies in another."""
    end = 0
    for field, state in zip(RowLayout(states).fields, states, strict=True):
        assert field.offset % 16 == 0
        assert field.offset >= end
        end = field.offset + field.nbytes
        assert field.nbytes == math.prod(state.session_shape) * np.dtype(state.dtype).itemsize


def test_bytes_are_little_endian_and_row_major() -> None:
    """A row means the same on any machine that reads the store."""
    spec = StateSpec(name="h", dtype="int16", axes=(2, 2), output="o")
    row = RowLayout((spec,)).pack({"h": np.asfortranarray([[1, 2], [3, 4]]).astype(">i2")})
    assert row[:8] == bytes([1, 0, 2, 0, 3, 0, 4, 0])


def test_infinities_and_nan_keep_their_bits() -> None:
    """What a state holds is not judged here."""
    spec = StateSpec(name="h", dtype="float32", axes=(3,), output="o")
    layout = RowLayout((spec,))
    value = np.asarray([np.nan, -np.inf, -0.0], np.float32)
    assert layout.unpack(layout.pack({"h": value}))["h"].tobytes() == value.tobytes()


def test_what_is_read_cannot_be_written() -> None:
    """Views of a row are read-only: a record never changes under a store."""
    spec = StateSpec(name="h", dtype="float32", axes=(1,), output="o")
    layout = RowLayout((spec,))
    view = layout.unpack(bytes(layout.nbytes))["h"]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_a_state_of_any_size_has_a_layout() -> None:
    """A manifest may say what it likes: how large that is can be told, and is not wrapped round."""
    huge = StateSpec(name="h", dtype="float32", axes=("batch", 10**30, 2), output="h_out")
    assert RowLayout([huge]).nbytes == 8 * 10**30
