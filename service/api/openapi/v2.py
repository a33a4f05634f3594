"""Inference by the Open Inference Protocol, for the schema."""

from carousel.service.api.openapi import examples
from carousel.service.api.openapi.v1 import Node, ref
from carousel.service.api.v2.messages import OipRequest, OipResponse

INFER = "/v2/models/{model}/infer"
INFER_VERSION = "/v2/models/{model}/versions/{version}/infer"

_LENGTH = "Inference-Header-Content-Length"
_LENGTH_HEADER: Node = {
    "description": "Bytes of the JSON, where tensors in binary follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
_BINARY: Node = {"schema": {"type": "string", "format": "binary"}}
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
        INFER: {"post": _infer("oip_infer", _path("model"))},
        INFER_VERSION: {
            "post": _infer("oip_infer_version", _path("model"), _path("version", "integer"))
        },
    }


def _infer(operation_id: str, *parameters: Node) -> Node:
    length = {"name": _LENGTH, "in": "header", **_LENGTH_HEADER}
    return {
        "tags": ["open inference protocol"],
        "operationId": operation_id,
        "summary": "Infer, or step a sequence",
        "description": "Tensors in JSON, or in binary behind it (Triton's binary tensor "
        "extension); with `parameters.sequence_id` a step of a sequence, whose state is kept.",
        "parameters": [*parameters, length],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ref(OipRequest), "example": _EXAMPLE},
                "application/octet-stream": _BINARY,
            },
        },
        "responses": {
            "200": {
                "description": "The outputs",
                "headers": {_LENGTH: _LENGTH_HEADER},
                "content": {
                    "application/json": {"schema": ref(OipResponse)},
                    "application/octet-stream": _BINARY,
                },
            }
        },
    }


def _path(name: str, kind: str = "string") -> Node:
    return {"name": name, "in": "path", "required": True, "schema": {"type": kind}}
