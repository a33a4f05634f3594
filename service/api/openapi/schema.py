"""The OpenAPI schema of both planes, made once: FastAPI's own, the data plane, and additions."""

from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from carousel.service.api.http.authenticator import OPEN_PATHS
from carousel.service.api.http.problem import CONTENT_TYPE
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.additions import ADDITIONS, ALWAYS, Addition
from carousel.service.api.openapi.nodes import Node, ref
from carousel.service.api.openapi.v1 import data_operations
from carousel.service.api.openapi.v2 import oip_operations
from carousel.service.api.v1.control_bodies import ForkSession, OpenSession, WriteState
from carousel.service.api.v1.data_bodies import (
    BulkBody,
    BulkResults,
    InferBody,
    InferResult,
    Problem,
    StepBody,
    StepResult,
)
from carousel.service.api.v2.bodies import OipError, OipRequest, OipResponse
from carousel.service.api.v2.fault import is_oip
from carousel.service.errors import CarouselError
from carousel.service.release import release

_DESCRIPTION = """Recurrent networks, with their hidden state kept between requests.

Send whole sequences to `infer`, or open a session and feed it step by step. Arrays travel as JSON,
as raw little-endian bytes (`application/octet-stream`) or as safetensors."""

_MODELS: tuple[type[BaseModel], ...] = (
    OpenSession, ForkSession, WriteState, StepBody, StepResult, InferBody,
    InferResult, BulkBody, BulkResults, Problem, OipRequest, OipResponse,
    OipError,
)  # fmt: skip
_REF = "#/components/schemas/{model}"
_NONE = Addition()
_PROBLEM: Node = {CONTENT_TYPE: {"schema": ref(Problem)}}
_OIP_ERROR: Node = {"application/json": {"schema": ref(OipError)}}


def create_schema(control: FastAPI) -> bytes:
    """The schema as JSON."""
    schema = get_openapi(
        title="Carousel", version=release(), description=_DESCRIPTION, routes=control.routes
    )
    schema["paths"] |= data_operations() | oip_operations()
    for path, item in schema["paths"].items():
        error = _OIP_ERROR if is_oip(path) else _PROBLEM
        for method, operation in item.items():
            addition = ADDITIONS.get((method, path), _NONE)
            _complete(operation, addition, error, is_open=path in OPEN_PATHS)
    modes = [(model, "validation") for model in _MODELS]
    _, more = models_json_schema(modes, ref_template=_REF)  # type: ignore[arg-type]  # a list of pairs
    schemas = schema["components"]["schemas"]
    schemas |= more["$defs"]
    # FastAPI's shape of errors; ours are problems.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schema["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "CAROUSEL_API_KEY, if it is set"}
    }
    schema["security"] = [{"key": []}, {}]
    return orjson.dumps(schema)


def _complete(operation: Node, addition: Addition, error: Node, *, is_open: bool) -> None:
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)
    if addition.body is not None:
        operation["requestBody"] = addition.body
    if addition.answer is not None:
        responses[min(responses)] |= addition.answer
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = examples.PARAMETERS[parameter["name"]]
    if is_open:
        operation["security"] = []
    errors = addition.errors if is_open else ALWAYS + addition.errors
    for status, codes in sorted(_codes_by_status(errors).items()):
        responses.setdefault(str(status), {"description": ", ".join(codes), "content": error})


def _codes_by_status(errors: tuple[type[CarouselError], ...]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for each in errors:
        found.setdefault(each.status, []).append(f"`{each.code}`")
    return found
