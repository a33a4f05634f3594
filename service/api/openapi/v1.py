"""The operations of the data plane of `/v1`."""

from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import POSITION_HEADER, Node, encodings, path_parameters
from carousel.service.api.v1.bulk import BULK_PATH
from carousel.service.api.v1.data_bodies import (
    BulkBody,
    BulkResults,
    InferBody,
    InferResult,
    StepBody,
    StepResult,
)
from carousel.service.api.v1.infer import INFER_PATH, INFER_VERSION_PATH
from carousel.service.api.v1.media.choose import RAW, SAFETENSORS
from carousel.service.api.v1.step import STEP_PATH

_RAW_INPUT = "Raw: the one input of one sequence, little-endian and row-major."
_TIMEOUT: Node = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "A request that has not started by then is refused with 504.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 3_600_000},
}
_POSITION: Node = {
    "name": "Carousel-Position",
    "in": "header",
    "description": "In binary: the position that the step starts from.",
    "schema": {"type": "integer", "minimum": 0},
}
_REPLAYED_HEADER: Node = {
    "description": "`true` where the recorded reply came again and nothing moved.",
    "schema": {"type": "string"},
}


def data_operations() -> dict[str, Node]:
    """The path items of the data plane."""
    infer = {"tags": ["inference"], **_infer()}
    return {
        STEP_PATH: {"post": {"tags": ["steps"], **_step()}},
        BULK_PATH: {"post": {"tags": ["steps"], **_bulk()}},
        INFER_PATH: {
            "post": infer
            | {"operationId": "infer", "parameters": [*path_parameters("model"), *_query()]}
        },
        INFER_VERSION_PATH: {
            "post": infer
            | {
                "operationId": "infer_version",
                "parameters": [*path_parameters("model", "version"), *_query()],
            }
        },
    }


def _step() -> Node:
    return {
        "operationId": "step",
        "summary": "Feed a session its next time steps",
        "description": "A step that names its position is run once, however often it is sent. "
        + _RAW_INPUT,
        "parameters": [
            *path_parameters("session_id"),
            _flag("return_state", "Answer the state too. In JSON also a member of the body."),
            _flag("commit", "False moves nothing. In JSON also a member of the body."),
            _POSITION,
            _TIMEOUT,
        ],
        "requestBody": {
            "required": True,
            "content": encodings(StepBody, examples.STEP, RAW, SAFETENSORS),
        },
        "responses": {
            "200": {
                "description": "The outputs; with a state, a binary answer is safetensors.",
                "headers": {
                    "Carousel-Position": POSITION_HEADER,
                    "Carousel-Replayed": _REPLAYED_HEADER,
                },
                "content": encodings(StepResult, None, RAW, SAFETENSORS),
            }
        },
    }


def _bulk() -> Node:
    return {
        "operationId": "step_many",
        "summary": "Feed many sessions in one request",
        "description": "Each step succeeds or fails by itself; the status is 200 once the request "
        "could be read. After a step that is refused, later ones of its session are refused too "
        "unless they name their position.",
        "parameters": [_TIMEOUT],
        "requestBody": {"required": True, "content": encodings(BulkBody, examples.BULK)},
        "responses": {
            "200": {"description": "One result a step, in order", "content": encodings(BulkResults)}
        },
    }


def _infer() -> Node:
    return {
        "summary": "Run whole sequences, keeping nothing",
        "description": "Sequences of different lengths share a batch. " + _RAW_INPUT,
        "requestBody": {
            "required": True,
            "content": encodings(InferBody, examples.INFER, RAW, SAFETENSORS),
        },
        "responses": {
            "200": {
                "description": "The outputs, in order",
                "content": encodings(InferResult, None, RAW, SAFETENSORS),
            }
        },
    }


def _query() -> list[Node]:
    meaning = "Answer the final state too. In JSON also a member of the body."
    return [_flag("return_state", meaning), _TIMEOUT]


def _flag(name: str, meaning: str) -> Node:
    # Without its default, which pages and generated clients would send beside the body's own.
    return {"name": name, "in": "query", "description": meaning, "schema": {"type": "boolean"}}
