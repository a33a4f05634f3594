"""Every datatype over `/v2`, by the official client: values come back as they were sent."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from onnx import helper

from carousel import import_model
from carousel.models.row import Array
from carousel.models.spec import Dtype
from carousel.service.api.v2.tensors import DATATYPES
from tests.harness.live import Live

# Values at the ends of each kind, and some between.
ENDS: dict[str, list[float]] = {"bool": [0, 1, 1], "float16": [-1.5, 0, 65_504]}
for _kind in ("float32", "float64"):
    ENDS[_kind] = [-1.25, 0, float(np.finfo(_kind).max)]
for _kind in ("uint8", "int8", "int16", "int32", "int64"):
    ENDS[_kind] = [int(np.iinfo(_kind).min), 7, int(np.iinfo(_kind).max)]


def mirror(dtype: str) -> bytes:
    """A model that answers what it is sent: x (B, 3) to y (B, 3)."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [helper.make_tensor_value_info(name, kind, ["batch", 3]) for name in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "mirror", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with a mirror of each datatype."""
    folder, file = tmp_path_factory.mktemp("mirrors"), tmp_path_factory.mktemp("files") / "m.onnx"
    for dtype in DATATYPES:
        file.write_bytes(mirror(dtype))
        import_model(file, name=f"mirror-{dtype}", repository=folder, quiet=True)
    with Live(folder) as live:
        yield live


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("dtype", DATATYPES)
def test_values_come_back_as_they_were_sent(mirrors: Live, dtype: Dtype, binary: bool) -> None:
    """Two rows, the ends of the kind among them, in the datatype that the metadata names."""
    values: Array = np.asarray([ENDS[dtype], ENDS[dtype][::-1]]).astype(dtype)
    client = triton.InferenceServerClient(mirrors.url.removeprefix("http://"))
    try:
        described = client.get_model_metadata(f"mirror-{dtype}")
        assert [each["datatype"] for each in described["inputs"]] == [DATATYPES[dtype]]
        given = triton.InferInput("x", [2, 3], DATATYPES[dtype])
        given.set_data_from_numpy(values, binary_data=binary)
        wanted = triton.InferRequestedOutput("y", binary_data=binary)
        answer = client.infer(f"mirror-{dtype}", [given], outputs=[wanted])
        found = answer.as_numpy("y")
    finally:
        client.close()
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_text_is_refused_where_the_model_has_none(mirrors: Live) -> None:
    """BYTES name no tensor of any model here."""
    client = triton.InferenceServerClient(mirrors.url.removeprefix("http://"))
    try:
        given = triton.InferInput("x", [1, 3], "BYTES")
        given.set_data_from_numpy(np.asarray([[b"a", b"b", b"c"]], np.object_))
        with pytest.raises(triton.InferenceServerException, match="BYTES"):
            client.infer("mirror-float32", [given])
    finally:
        client.close()
