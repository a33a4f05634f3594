"""The control plane: a FastAPI application for everything that is not in the data plane's table."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from carousel.service.api.http.dependencies import Dependencies
from carousel.service.api.http.problem import unexpected
from carousel.service.api.http.responses import to_response
from carousel.service.api.ops import pages, probes
from carousel.service.api.streams.call import is_stream
from carousel.service.api.v1 import model_routes, session_routes, state_routes
from carousel.service.api.v1.control_bodies import PageQuery, invalid
from carousel.service.api.v2 import metadata_routes
from carousel.service.api.v2.fault import error_answer
from carousel.service.errors import CarouselError, MethodNotAllowed, NotFound

_MODULES = (model_routes, session_routes, state_routes, metadata_routes, probes, pages)

# Every route of the control plane.
ROUTES = [route for each in _MODULES for route in each.router.routes if isinstance(route, APIRoute)]


def create_control(dependencies: Dependencies) -> FastAPI:
    """The application; its schema is made elsewhere (schema.py), data plane and all."""
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Generated clients call their functions so.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.dependencies = dependencies
    for module in _MODULES:
        app.include_router(module.router)
    app.add_exception_handler(CarouselError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_defect)
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CarouselError)
    return _refuse(request, error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [each | {"loc": each["loc"][1:]} for each in error.errors()]
    if error.errors()[0]["loc"][0] == "path":
        return _refuse(request, NotFound("there is nothing at this path"))
    return _refuse(request, invalid(errors, sorted(PageQuery.model_fields)))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == MethodNotAllowed.status:
        methods = ", ".join(_allowed(request.scope["path"]))
        fault = MethodNotAllowed(f"{request.method} given; expected {methods}", allow=methods)
        return _refuse(request, fault)
    path = request.scope["path"]
    if is_stream(path):
        hint = "a stream is opened as a WebSocket: connect with ws:// or wss://"
        return _refuse(request, NotFound("there is nothing to read at this path", hint=hint))
    return _refuse(request, NotFound("there is nothing at this path", hint="see /docs"))


async def _on_defect(request: Request, error: Exception) -> Response:
    request_id = request.state.request_id
    return _refuse(request, unexpected(error, where="the control plane", request_id=request_id))


def _refuse(request: Request, error: CarouselError) -> Response:
    return to_response(error_answer(request.scope["path"], error, request.state.request_id))


def _allowed(path: str) -> list[str]:
    """Every method of a path; the framework names those of its first route only."""
    methods: set[str] = set()
    for each in ROUTES:
        if each.path_regex.match(path):
            methods |= each.methods or set()
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
