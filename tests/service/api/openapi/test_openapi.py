"""The OpenAPI schema: every route is in it and nothing else, and its examples work."""

import re
from typing import Any

import pytest

from carousel.service import errors
from carousel.service.api.control import ROUTES
from carousel.service.api.http.authenticator import OPEN_PATHS
from carousel.service.api.v1.data_bodies import (
    BulkBody,
    BulkStep,
    ColumnarBody,
    InferBody,
    StepBody,
)
from carousel.service.api.v2.fault import is_oip
from tests.harness.live import Live
from tests.harness.routes import DATA_PATHS

METHODS = {"get", "post", "put", "delete"}


@pytest.fixture(scope="module")
def schema(shared_live: Live) -> Any:
    """The schema as clients get it."""
    return shared_live.client.get("/openapi.json").json()


def operations(schema: Any) -> list[tuple[str, str, Any]]:
    """Path, method and operation of everything in the schema."""
    return [
        (path, method, operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    ]


def test_every_route_is_in_the_schema(schema: Any) -> None:
    """The schema has every route that is served, but the static pages, and no other."""
    served = {
        (method.lower(), each.path)
        for each in ROUTES
        if each.include_in_schema
        for method in each.methods or ()
    } | {("post", path) for path in DATA_PATHS}
    assert {(method, path) for path, method, _ in operations(schema)} == served
    assert {method for _, method, _ in operations(schema)} <= METHODS


def test_every_reference_leads_somewhere(schema: Any) -> None:
    """Every `$ref` names a schema that is there."""
    names = set(schema["components"]["schemas"])
    used = set(re.findall(r"'#/components/schemas/(\w+)'", str(schema)))
    assert used <= names
    assert schema["openapi"].startswith("3.1")


def test_every_operation_is_described(schema: Any) -> None:
    """Each operation has a summary, an id of its own, and a good answer."""
    ids = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations(schema):
        assert operation["summary"], (path, method)
        assert any(status.startswith("2") for status in operation["responses"]), (path, method)


def test_every_error_is_a_problem(schema: Any) -> None:
    """Errors are problem+json, or what the Open Inference Protocol has, name their codes, and are
    codes of the error tree.
    """
    known = {each.code: each.status for each in _tree(errors.CarouselError)}
    for path, _, operation in operations(schema):
        for status, response in operation["responses"].items():
            if status < "400" or (path in OPEN_PATHS):
                continue
            media = "application/json" if is_oip(path) else "application/problem+json"
            assert list(response["content"]) == [media]
            codes = re.findall(r"`(\w+)`", response["description"])
            assert codes
            assert all(known[code] == int(status) for code in codes)


def test_key_is_declared(schema: Any) -> None:
    """Every operation but the probes takes the key, and may answer 401."""
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, _, operation in operations(schema):
        if path in OPEN_PATHS:
            assert operation["security"] == []
        else:
            assert "security" not in operation
            assert "401" in operation["responses"]


def test_encodings_are_declared(schema: Any) -> None:
    """Routes that take or give arrays say so in each of their encodings."""
    three = {"application/json", "application/octet-stream", "application/x-safetensors"}
    for path in ("/v1/sessions/{session_id}/steps", "/v1/models/{model}/infer"):
        operation = schema["paths"][path]["post"]
        assert set(operation["requestBody"]["content"]) == three
        assert set(operation["responses"]["200"]["content"]) == three
    step = schema["paths"]["/v1/sessions/{session_id}/steps"]["post"]
    names = {each["name"] for each in step["parameters"]}
    assert {"Carousel-Position", "X-Request-Timeout-Ms", "commit", "return_state"} <= names
    assert "Carousel-Position" in step["responses"]["200"]["headers"]
    state = schema["paths"]["/v1/sessions/{session_id}/state"]["get"]["responses"]["200"]
    assert "ETag" in state["headers"]


def test_fields_are_those_that_are_read(schema: Any) -> None:
    """The bodies that are read by hand have in the schema the members that are read."""
    for model in (StepBody, InferBody, BulkBody, BulkStep, ColumnarBody):
        shown = schema["components"]["schemas"][model.__name__]
        assert set(shown["properties"]) == set(model.model_fields)
        assert shown["additionalProperties"] is False


def test_every_example_works(live: Live, schema: Any) -> None:
    """Each example request, sent as it stands in the order of a tour, succeeds."""
    tour = sorted(operations(schema), key=_rank)
    sent = 0
    for path, method, operation in tour:
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                value = str(parameter["example"])
                path = path.replace(f"{{{parameter['name']}}}", value)
        content = operation.get("requestBody", {}).get("content", {})
        body = content.get("application/json", {}).get("example")
        answer = live.client.request(method, path, json=body)
        assert answer.is_success, (method, path, answer.text)
        sent += 1
    assert sent == len(tour)


def _rank(entry: tuple[str, str, Any]) -> int:
    """Opening a session comes first and ending it last."""
    path, method, _ = entry
    if (path, method) == ("/v1/sessions", "post"):
        return 0
    return 2 if method == "delete" else 1


def _tree(kind: type[errors.CarouselError]) -> list[type[errors.CarouselError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _tree(child))]


def test_operations_have_names_of_their_own(schema: Any) -> None:
    """Short ones, as functions of generated clients are called by them."""
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and len(name) < 30 for name in names)


def test_fields_with_a_default_may_be_left_out(schema: Any) -> None:
    """In every body, of requests and of answers."""
    for name, model in schema["components"]["schemas"].items():
        required = set(model.get("required", ()))
        defaults = {key for key, each in model.get("properties", {}).items() if "default" in each}
        assert not required & defaults, name
