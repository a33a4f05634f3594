"""Answers of the control plane."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response

from carousel.service.api.http.answer import Answer


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def to_response(answer: Answer) -> Response:
    """An answer of the data plane's kind, for the framework."""
    response = Response(answer.body, answer.status)
    response.raw_headers.extend(answer.headers)
    return response
