"""What a client of the Open Inference Protocol does with the service, by the protocol's papers."""

import json
from typing import Any

import httpx
import numpy as np

from carousel.models.row import Array
from carousel.models.spec import BATCH, ModelSpec, TensorSpec
from tests.harness.client import MODEL

LENGTH = "Inference-Header-Content-Length"
DATATYPES = {
    "bool": "BOOL", "uint8": "UINT8", "int8": "INT8", "int16": "INT16", "int32": "INT32",
    "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip


def infer_path(model: str = MODEL, version: int | None = None) -> str:
    """Where a model is asked."""
    return f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"


def tensor(name: str, x: Array, **more: Any) -> dict[str, Any]:
    """An input as it stands in a request, its values flat."""
    entry = {"name": name, "shape": list(x.shape), "datatype": DATATYPES[x.dtype.name]}
    return entry | {"data": x.ravel().tolist()} | more


def binary_tensor(name: str, x: Array) -> dict[str, Any]:
    """An input whose values stand behind the JSON."""
    entry = tensor(name, x, parameters={"binary_data_size": x.nbytes})
    del entry["data"]
    return entry


def frame(document: dict[str, Any], *arrays: Array) -> tuple[bytes, dict[str, str]]:
    """A body with binary tensors, and its headers."""
    head = json.dumps(document).encode()
    return head + b"".join(each.tobytes() for each in arrays), {LENGTH: str(len(head))}


def read(answer: httpx.Response) -> tuple[dict[str, Any], dict[str, Array]]:
    """The JSON of an answer that must be good, and its tensors whichever way they came."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get(LENGTH)
    assert (length is None) is (answer.headers["content-type"] == "application/json")
    head, rest = answer.content, b""
    if length is not None:
        head, rest = answer.content[: int(length)], answer.content[int(length) :]
    document = json.loads(head)
    arrays: dict[str, Array] = {}
    dtypes = {datatype: np.dtype(dtype) for dtype, datatype in DATATYPES.items()}
    for each in document["outputs"]:
        dtype = dtypes[each["datatype"]]
        if "data" in each:
            array = np.array(each["data"], dtype)
        else:
            size = each["parameters"]["binary_data_size"]
            array, rest = np.frombuffer(rest[:size], dtype), rest[size:]
        arrays[each["name"]] = array.reshape(each["shape"])
    assert rest == b""
    return document, arrays


def failed(answer: httpx.Response, status: int, code: str) -> str:
    """The text of an error, which must be this one and in the protocol's form."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["error"]
    text: str = body["error"]
    assert (answer.status_code, text.partition(":")[0]) == (status, code), text
    return text


def to_protocol(spec: ModelSpec, each: TensorSpec, rows: list[Array]) -> Array:
    """Rows in wire layout as one tensor: batch, time, the rest, less what the model lacks."""
    if spec.is_framed:
        assert all(len(row) == 1 for row in rows)
        rows = [row[0] for row in rows]
    if BATCH in each.axes:
        return np.stack(rows)
    assert len(rows) == 1
    return rows[0]


def state_to_protocol(each: Any, rows: list[Array]) -> Array:
    """States in session shape as one tensor in the module's own layout."""
    if each.batch_axis is None:
        assert len(rows) == 1
        return rows[0]
    whole = [row.reshape(each.model_shape(each.fold, 1)) for row in rows]
    return np.concatenate(whole, each.batch_axis)
