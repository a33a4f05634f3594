"""The operations of inference by the Open Inference Protocol, `/v2`."""

from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import BINARY, Node, path_parameters, ref
from carousel.service.api.v2.bodies import OipRequest, OipResponse
from carousel.service.api.v2.infer import OIP_INFER_PATH, OIP_INFER_VERSION_PATH

_LENGTH = "Inference-Header-Content-Length"
_LENGTH_HEADER: Node = {
    "description": "Bytes of the JSON, where tensors in binary follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
_EXAMPLE: Node = {
    "inputs": [
        {
            "name": "input",
            "shape": [1, 1, 10],
            "datatype": "FP32",
            "data": examples.STEP["inputs"][0],
        }
    ],
    "parameters": {"sequence_id": 7, "sequence_start": True},
}


def oip_operations() -> dict[str, Node]:
    """The path items of inference."""
    return {
        OIP_INFER_PATH: {"post": _infer("oip_infer", "model")},
        OIP_INFER_VERSION_PATH: {"post": _infer("oip_infer_version", "model", "version")},
    }


def _infer(operation_id: str, *names: str) -> Node:
    length = {"name": _LENGTH, "in": "header", **_LENGTH_HEADER}
    return {
        "tags": ["open inference protocol"],
        "operationId": operation_id,
        "summary": "Infer, or step a sequence",
        "description": "Tensors in JSON, or in binary behind it (Triton's binary tensor "
        "extension); with `parameters.sequence_id` a step of a sequence, whose state is kept.",
        "parameters": [*path_parameters(*names), length],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ref(OipRequest), "example": _EXAMPLE},
                "application/octet-stream": BINARY,
            },
        },
        "responses": {
            "200": {
                "description": "The outputs",
                "headers": {_LENGTH: _LENGTH_HEADER},
                "content": {
                    "application/json": {"schema": ref(OipResponse)},
                    "application/octet-stream": BINARY,
                },
            }
        },
    }
