"""Arrays on the wire as the Python client has them, against the safetensors library."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load, save

from carousel_client.codec import RAW, SAFETENSORS, Codec
from carousel_client.errors import BadAnswer, NonFiniteInput, OutOfRange, ShapeMismatch
from carousel_client.model import TensorInfo, read_model
from carousel_client.tensor import Tensor
from carousel_client.tensorfile import read_tensors, write_tensors
from tests.client.described import describe

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")

tensors = st.dictionaries(
    st.text(min_size=1, max_size=9).filter(lambda name: name != "__metadata__"),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
    ),
    min_size=1,
    max_size=4,
)


@given(tensors)
def test_files_are_those_of_the_library(given: dict[str, Any]) -> None:
    """What one writes the other reads, whatever the names, dtypes and shapes."""
    for found in (load(write_tensors(given)), read_tensors(save(given))):
        assert found.keys() == given.keys()
        for name, each in given.items():
            assert found[name].dtype == each.dtype
            np.testing.assert_array_equal(found[name], each)


def test_what_is_said_of_tensors_stands_beside_them() -> None:
    """As metadata, which the library reads and no tensor is."""
    data = write_tensors({"x": np.arange(3, dtype="<i4")}, {"of": "\u00e9", "position": "3"})
    length = int.from_bytes(data[:8], "little")
    said = json.loads(data[8 : 8 + length])["__metadata__"]
    assert said == {"of": "\u00e9", "position": "3"}
    assert load(data).keys() == read_tensors(data).keys() == {"x"}


def test_other_byte_orders_are_turned() -> None:
    """The wire is little-endian."""
    given = np.arange(3, dtype=">f4")
    np.testing.assert_array_equal(load(write_tensors({"x": given}))["x"], given)


SOUND = write_tensors({"x": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SOUND[:5],
        SOUND[:-1],
        SOUND + b"x",
        SOUND[:8] + b"{" * (len(SOUND) - 8),
        SOUND.replace(b"F32", b"F99"),
        SOUND.replace(b"[2]", b"[3]"),
        SOUND.replace(b"[0,8]", b"[]   "),
        b"\xff" * 16,
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_a_file_that_is_none_is_said(data: bytes) -> None:
    """BadAnswer, not an error of some parser."""
    with pytest.raises(BadAnswer):
        read_tensors(data)


def tensor(dtype: str, *shape: Any) -> Tensor:
    """One tensor of a model."""
    return Tensor(TensorInfo("x", np.dtype(dtype), shape))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float32", np.ones((2, 3))),
        ("float32", np.ones((2, 3), np.float16)),
        ("float16", np.ones((2, 3), np.int64)),
        ("float32", [[1, 2, 3]]),
        ("float32", np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))),
        ("int64", np.ones((2, 3), np.uint8)),
        ("uint8", [[0, 255, 3]]),
        ("bool", [[True, False, True]]),
    ],
)
def test_values_become_the_wires_own(dtype: str, value: Any) -> None:
    """Floats narrower or wider, integers to floats, integers that fit; the values stay."""
    found = tensor(dtype, "time", 3).cast(value, "x")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, value)
    assert found.tobytes() == np.ascontiguousarray(value, dtype).tobytes()


@pytest.mark.parametrize(("dtype", "value"), [("uint8", 256), ("int8", -129), ("uint8", -1)])
def test_integers_that_do_not_fit_are_refused(dtype: str, value: int) -> None:
    """Nothing wraps around."""
    with pytest.raises(OutOfRange):
        tensor(dtype, "time").cast([value], "x")


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 2, 3), ()])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    """With what is expected; a time step without its axis is told how to get one."""
    with pytest.raises(ShapeMismatch, match=r"expected \(time, 3\)") as caught:
        tensor("float32", "time", 3).cast(np.zeros(shape, np.float32), "x")
    assert (caught.value.hint is not None) is (shape == (3,))


def test_a_model_without_time_is_fed_frame_by_frame() -> None:
    """On the wire its tensors have time in front, so that several frames go at once."""
    framed = describe(
        inputs=[{"name": "x", "dtype": "float32", "shape": ["batch", 5]}],
        outputs=[{"name": "y", "dtype": "float32", "shape": ["batch", 2], "per": "step"}],
    )
    codec = Codec(read_model(framed))
    sent = codec.encode(np.zeros((4, 5), np.float32))
    assert (sent.media, sent.num_steps, len(sent.content)) == (f"{RAW}; dtype=float32", 4, 80)
    assert codec.decode_raw(bytes(32)).shape == (4, 2)
    assert read_model(framed | {"states": []}).inputs[0].shape == (5,)


def test_what_is_not_finite_has_words_in_json() -> None:
    """A state's NaN and infinities go and come as words; an input's are refused."""
    codec = Codec(read_model(describe(num_inputs=2)))
    state = {"h": np.array([[1.0, np.nan, np.inf, -np.inf]], np.float32)}
    written = json.dumps(codec.state_to_json(state), allow_nan=False)
    assert json.loads(written) == {"h": [[1.0, "NaN", "Infinity", "-Infinity"]]}
    np.testing.assert_array_equal(codec.state_from_json(json.loads(written))["h"], state["h"])
    found = codec.from_json([["NaN", "-Infinity", 1.5]])
    np.testing.assert_array_equal(found, np.array([[np.nan, -np.inf, 1.5]], np.float32))
    with pytest.raises(NonFiniteInput):
        codec.to_json({"x0": [[np.nan, 0, 0]], "x1": [[0, 0, 0]]})


def test_states_come_apart_from_outputs() -> None:
    """In one file, by the prefix of their names."""
    codec = Codec(read_model(describe()))
    body = save({"y": np.ones((1, 100), np.float32), "state.h": np.ones((1, 4), np.float32)})
    found = codec.decode(SAFETENSORS, body)
    assert found.outputs.shape == (1, 100)
    assert found.state is not None
    assert found.state["h"].shape == (1, 4)
    for media, content in (("text/html", b"x"), (RAW, b"xyz"), (SAFETENSORS, b"x")):
        with pytest.raises(BadAnswer):
            codec.decode(media, content)
