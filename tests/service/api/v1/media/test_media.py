"""Media types: what a body is, what an answer may be, and what is in it."""

import numpy as np
import pytest
from safetensors.numpy import load

from carousel.models.row import Array
from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.v1.media.choose import JSON, RAW, SAFETENSORS, media_for, media_of
from carousel.service.api.v1.media.media import Media
from carousel.service.errors import NotAcceptable, UnsupportedMediaType

SPEC = ModelSpec(
    inputs=(InputSpec(name="x", dtype="float32", axes=("batch", "time", 2)),),
    outputs=(
        OutputSpec(name="y", dtype="float32", axes=("batch", "time", 2), per="step"),
        OutputSpec(name="score", dtype="float32", axes=("batch",), per="sequence"),
    ),
    states=(StateSpec(name="h", dtype="float32", axes=(1, "batch", 2), output="h_out"),),
    streaming="step",
)


def test_outputs_in_safetensors() -> None:
    """Outputs and states come back by name."""
    outputs: dict[str, Array] = {"y": np.ones((1, 2), np.float32), "score": np.array(3, np.float32)}
    codec = Codec(SPEC, max_steps=4)
    body = SAFETENSORS.write(codec, outputs, {"h": np.zeros((1, 2), np.float32)})
    assert set(load(body)) == {"y", "score", "state.h"}


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (None, JSON),
        (b"application/json", JSON),
        (b"Application/JSON; charset=UTF-8", JSON),
        (b"application/octet-stream", RAW),
        (b"application/x-safetensors", SAFETENSORS),
    ],
)
def test_bodies_say_what_they_are(content_type: bytes | None, expected: Media) -> None:
    """The media type decides, whatever its case and parameters; without one it is JSON."""
    assert media_of(content_type) is expected


@pytest.mark.parametrize(
    "content_type", [b"text/plain", b"", b"application/json; charset=latin-1", b"\xff"]
)
def test_other_bodies_are_refused(content_type: bytes) -> None:
    """Other media types, and text in other encodings, are refused."""
    with pytest.raises(UnsupportedMediaType):
        media_of(content_type)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, RAW),
        (b"*/*", RAW),
        (b"application/*;q=0.5", RAW),
        (b"application/json", JSON),
        (b"application/json, text/plain, */*", JSON),
        (b"application/json;q=0.1, application/octet-stream", RAW),
        (b"text/html, application/x-safetensors;q=0.2", SAFETENSORS),
    ],
)
def test_answers_are_what_is_liked_best(accept: bytes | None, expected: Media) -> None:
    """An answer comes in the request's encoding unless the client likes another better."""
    assert media_for(accept, RAW) is expected


@pytest.mark.parametrize("accept", [b"text/html", b"application/json;q=0", b"", b"\xff;q=x"])
def test_no_encoding_is_not_acceptable(accept: bytes) -> None:
    """A client that takes none of the encodings is told so."""
    with pytest.raises(NotAcceptable):
        media_for(accept, JSON)
