"""What the Open Inference Protocol says of the server and of a model."""

from collections.abc import Sequence
from typing import Any

from carousel.models.spec import Axis, Dtype
from carousel.service.api.v2.tensors import DATATYPES, batch_first, own_axes, shown_shape
from carousel.service.engine.loaded_model import LoadedModel

NAME = "carousel"
# Triton's words for what is Triton's; the last two are ours.
EXTENSIONS = (
    "binary_tensor_data",
    "sequence",
    "sequence(string_id)",
    "carousel_position",
    "carousel_states",
)

# The protocol's names, "<project>_<format>".
_PLATFORMS = {"onnx": "onnxruntime_onnx", "torchscript": "pytorch_torchscript"}


def server_metadata(version: str) -> dict[str, Any]:
    """The server: its name, version and extensions."""
    return {"name": NAME, "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(loaded: LoadedModel, versions: Sequence[int]) -> dict[str, Any]:
    """A model and its tensors. `states` are inputs and outputs that a request may leave out."""
    spec = loaded.spec
    return {
        "name": loaded.name,
        "versions": [str(each) for each in versions],
        "platform": _PLATFORMS[loaded.program],
        "inputs": [
            _tensor(each.name, each.dtype, batch_first(spec, each.axes))
            for each in spec.sent_inputs
        ],
        "outputs": [
            _tensor(each.name, each.dtype, batch_first(spec, each.axes)) for each in spec.outputs
        ],
        "states": [_tensor(each.name, each.dtype, own_axes(spec, each)) for each in spec.states],
    }


def _tensor(name: str, dtype: Dtype, axes: tuple[Axis, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": DATATYPES[dtype], "shape": shown_shape(axes)}
