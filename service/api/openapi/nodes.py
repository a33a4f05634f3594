"""Nodes of the schema that several operations have."""

from typing import Any

from pydantic import BaseModel

Node = dict[str, Any]

BINARY: Node = {"schema": {"type": "string", "format": "binary"}}
POSITION_HEADER: Node = {
    "description": "The session's position now.",
    "schema": {"type": "integer"},
}
RAW_INPUT = "Raw: the one input of one sequence, little-endian and row-major."
TIMEOUT: Node = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "A request that has not started by then is refused with 504.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 3_600_000},
}

# The models that nodes refer to, by name: the schema has them beside those that FastAPI knows.
REFERRED: dict[str, type[BaseModel]] = {}


def ref(model: type[BaseModel]) -> Node:
    """A reference to a model's schema."""
    REFERRED[model.__name__] = model
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def either(*models: type[BaseModel]) -> Node:
    """The schema of a body that is one of these."""
    return {"anyOf": [ref(each) for each in models]}


def encodings(json: type[BaseModel] | Node, example: Any = None, *binary: str) -> Node:
    """The `content` of a body in JSON, a model or a schema, and in further media types."""
    schema = json if isinstance(json, dict) else ref(json)
    told = {"schema": schema} | ({} if example is None else {"example": example})
    return {"application/json": told} | dict.fromkeys(binary, BINARY)


def body(json: type[BaseModel], example: Any, *binary: str, required: bool = True) -> Node:
    """What FastAPI is told of a body that is read by hand."""
    told = {"content": encodings(json, example, *binary)}
    return {"requestBody": {"required": True, **told} if required else told}


def flag(name: str, meaning: str) -> Node:
    """A boolean of the query."""
    # Without its default, which pages and generated clients would send beside the body's own.
    return {"name": name, "in": "query", "description": meaning, "schema": {"type": "boolean"}}
