"""Nodes of the schema that several operations have."""

from typing import Any

from pydantic import BaseModel

from carousel.service.api.v1.media.choose import JSON
from carousel.service.api.v1.media.media import Media

Node = dict[str, Any]

BINARY: Node = {"schema": {"type": "string", "format": "binary"}}
POSITION_HEADER: Node = {
    "description": "The session's position now.",
    "schema": {"type": "integer"},
}


def ref(model: type[BaseModel]) -> Node:
    """A reference to a model's schema."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def encodings(json: type[BaseModel], example: Any = None, *media: Media) -> Node:
    """The `content` of a body in JSON and in further encodings."""
    content: Node = {JSON.name: {"schema": ref(json)}}
    if example is not None:
        content[JSON.name]["example"] = example
    return content | {each.name: BINARY for each in media}


def path_parameters(*names: str) -> list[Node]:
    """The parts of a path that clients fill in."""
    kinds = {name: "integer" if name == "version" else "string" for name in names}
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": kind}}
        for name, kind in kinds.items()
    ]
