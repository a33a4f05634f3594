"""The OpenAPI schema of both planes, made once, of what their routes say of themselves."""

from collections.abc import Iterable, Mapping
from copy import deepcopy

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from carousel.service.api.http.authenticator import OPEN_PATHS
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import REFERRED, Node
from carousel.service.release import release

_DESCRIPTION = """Recurrent networks, with their hidden state kept between requests.

Send whole sequences to `infer`, or open a session and feed it step by step. Arrays travel as JSON,
as raw little-endian bytes (`application/octet-stream`) or as safetensors."""

_REF = "#/components/schemas/{model}"
# FastAPI's shape of errors; ours are problems.
_NOT_OURS = ("HTTPValidationError", "ValidationError")


def create_schema(control: FastAPI, data: Iterable[Mapping[str, Node]]) -> bytes:
    """The schema as JSON; `data`: the paths of each route of the data plane."""
    schema = get_openapi(
        title="Carousel", version=release(), description=_DESCRIPTION, routes=control.routes
    )
    for each in data:
        schema["paths"] |= deepcopy(each)
    for path, item in schema["paths"].items():
        for operation in item.values():
            _complete(operation, is_open=path in OPEN_PATHS)
    modes = [(model, "validation") for model in REFERRED.values()]
    _, more = models_json_schema(modes, ref_template=_REF)  # type: ignore[arg-type]  # a list of pairs
    schemas = schema["components"]["schemas"] | more["$defs"]
    schema["components"] = {
        "schemas": {name: each for name, each in schemas.items() if name not in _NOT_OURS},
        "securitySchemes": {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "CAROUSEL_API_KEY, if it is set",
            }
        },
    }
    schema["security"] = [{"key": []}, {}]
    return orjson.dumps(schema)


def _complete(operation: Node, *, is_open: bool) -> None:
    """Without FastAPI's own errors; with examples in paths, and free of the key where it is."""
    if _NOT_OURS[0] in str(operation["responses"].get("422")):
        del operation["responses"]["422"]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = examples.PARAMETERS[parameter["name"]]
    if is_open:
        operation["security"] = []
