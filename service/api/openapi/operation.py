"""What the schema says of a route of the data plane, which FastAPI does not know."""

import re
from collections.abc import Mapping, Sequence

from carousel.service.api.openapi.nodes import Node
from carousel.service.api.openapi.refusals import Responses


def post(
    ids: Mapping[str, str],
    *,
    tag: str,
    summary: str,
    description: str,
    parameters: Sequence[Node],
    body: Node,
    answer: Node,
    refusals: Responses,
) -> dict[str, Node]:
    """The items of the schema's `paths`. `ids`: what generated clients call the route, by path;
    `parameters`: beside those of the path; `body`: its content; `answer`: where it succeeds.
    """
    operation: Node = {
        "tags": [tag],
        "summary": summary,
        "description": description,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer} | {str(status): each for status, each in refusals.items()},
    }
    items: dict[str, Node] = {}
    for path, name in ids.items():
        own = [_parameter(each) for each in re.findall(r"{(\w+)}", path)]
        items[path] = {"post": operation | {"operationId": name, "parameters": [*own, *parameters]}}
    return items


def _parameter(name: str) -> Node:
    kind = "integer" if name == "version" else "string"
    return {"name": name, "in": "path", "required": True, "schema": {"type": kind}}
