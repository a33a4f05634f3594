"""NumPy files, and raw bytes that say what they are: what is of another dtype never runs."""

import io
import pickle
from typing import Any

import numpy as np
import pytest

from tests.harness.client import RAW, TOLERANCE, Client, numbers, refused
from tests.harness.live import Live
from tests.harness.served import Served, run_lstm

NPY = {"Content-Type": "application/x-npy"}
LSTM = "/v1/models/lstm-10-20-2/infer"

FLOATS = "'descr': '<f4', 'fortran_order': False"

Models = dict[str, Served]


def saved(array: Any, version: tuple[int, int] | None = None, **more: Any) -> bytes:
    """As `numpy.save` writes it."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version=version, **more)
    return file.getvalue()


def headed(header: str, body: bytes = bytes(40)) -> bytes:
    """A file with a header of one's own."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def test_a_sequence_and_its_answer_as_numpy_files(live: Live, served: Models) -> None:
    """In every order and byte order that numpy.save has, as eager PyTorch answers."""
    x = numbers(7, 10)
    expected, _, _ = run_lstm(served["lstm-10-20-2"].module, x)
    for given in (x, np.asfortranarray(x), x.astype(">f4")):
        for version in ((1, 0), (2, 0)):
            answer = live.client.post(LSTM, content=saved(given, version), headers=NPY)
            assert answer.headers["content-type"] == "application/x-npy"
            output = np.load(io.BytesIO(answer.content), allow_pickle=False)
            np.testing.assert_allclose(output, expected, atol=TOLERANCE)
    answer = live.client.post(LSTM, content=saved(x), headers={**NPY, "Accept": "application/json"})
    np.testing.assert_allclose(answer.json()["outputs"][0], expected, atol=TOLERANCE)


def test_steps_as_numpy_files(session: Client, served: Models) -> None:
    """One after the other; with the state asked for, safetensors come."""
    x = numbers(3, 10)
    expected, _, _ = run_lstm(served["lstm-10-20-2"].module, x)
    for step in range(2):
        headers = {**NPY, "Carousel-Position": str(step)}
        answer = session.http.post(
            f"{session.path}/steps", content=saved(x[step : step + 1]), headers=headers
        )
        assert answer.headers["carousel-position"] == str(step + 1)
        output = np.load(io.BytesIO(answer.content), allow_pickle=False)
        np.testing.assert_allclose(output, expected[step : step + 1], atol=TOLERANCE)
    path = f"{session.path}/steps?return_state=true"
    answer = session.http.post(path, content=saved(x[2:]), headers=NPY)
    assert answer.headers["content-type"] == "application/x-safetensors"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"\x93NUMPY", 400, "malformed"),
        (saved(np.ones((1, 10), "f4"))[:-1], 400, "malformed"),
        (saved(np.ones((1, 10), "f4")) + b"\0", 400, "malformed"),
        (saved(np.array([{}], object), allow_pickle=True), 400, "malformed"),
        (saved(np.zeros(1, [("a", "f4"), ("b", "i4")])), 400, "malformed"),
        (saved(np.array(["a"])), 400, "malformed"),
        (pickle.dumps(np.ones((1, 10), "f4")), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': (9999999999999, 10)}}"), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': ({'9' * 100}, 10)}}"), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': (-1, -10)}}"), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': (,)}}"), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': (0, 10)}}", b""), 422, "shape_mismatch"),
        (headed(f"{{{FLOATS}, 'shape': (1, 10)}}".replace("<f4", "|O")), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': (1, 10)}}".replace("<f4", "<f3")), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': (1, 10)}}\n{{"), 400, "malformed"),
        (headed(f"{{{FLOATS}, 'shape': (1, 10)}}\n\n"), 400, "malformed"),
        (headed("[" * 100), 400, "malformed"),
        (headed("[" * 9000), 400, "malformed"),
        (saved(np.ones((1, 10), "f8")), 422, "shape_mismatch"),
        (saved(np.ones((1, 10), "i4")), 422, "shape_mismatch"),
        (saved(np.ones(10, "f4")), 422, "shape_mismatch"),
        (saved(np.ones((1, 1, 10), "f4")), 422, "shape_mismatch"),
        (saved(np.full((1, 10), np.nan, "f4")), 422, "non_finite_input"),
    ],
)  # fmt: skip
def test_other_files_are_refused(session: Client, body: bytes, status: int, code: str) -> None:
    """Whatever a header claims, before anything is made of it; the session stays where it is."""
    refused(session.http.post(f"{session.path}/steps", content=body, headers=NPY), status, code)
    assert session.position == 0


def test_a_state_is_no_numpy_file(session: Client) -> None:
    """It has several tensors, with names."""
    path = f"{session.path}/state"
    answer = session.http.put(path, content=saved(np.ones((2, 20), "f4")), headers=NPY)
    refused(answer, 415, "unsupported_media_type")
    refused(session.http.get(path, headers={"Accept": "application/x-npy"}), 406, "not_acceptable")


SAID = "application/octet-stream; "


@pytest.mark.parametrize(
    "said",
    [
        "dtype=float32",
        'shape="1,10"',
        'dtype=float32; shape="1,10"',
        "shape=1,10",
        'Dtype="FLOAT32"',
    ],
)
def test_bytes_that_are_what_they_say(session: Client, said: str) -> None:
    """They run as if nothing had been said."""
    body = np.ones((1, 10), "<f4").tobytes()
    headers = {"Content-Type": SAID + said}
    assert session.http.post(f"{session.path}/steps", content=body, headers=headers).is_success
    assert session.http.post(LSTM, content=body, headers=headers).is_success


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("dtype=float64", "shape_mismatch"),
        ('dtype=float64; shape="1,10"', "shape_mismatch"),
        ('shape="2,10"', "shape_mismatch"),
        ('shape="10"', "shape_mismatch"),
        ('shape="2,20"', "shape_mismatch"),
        ("dtype=double", "invalid_request"),
        ("shape=a", "invalid_request"),
        ('shape="-1,10"', "invalid_request"),
    ],
)
def test_bytes_that_are_not_what_they_say_are_refused(
    session: Client, said: str, code: str
) -> None:
    """Eight-byte floats have the length of twice as many four-byte ones."""
    body = np.ones((1, 10), "<f8" if "float64" in said else "<f4").tobytes()
    headers = {**RAW, "Content-Type": SAID + said}
    refused(session.http.post(f"{session.path}/steps", content=body, headers=headers), 422, code)
    refused(session.http.post(LSTM, content=body, headers=headers), 422, code)
    assert session.position == 0
