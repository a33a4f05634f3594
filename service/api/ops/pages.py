"""The static pages: `/`, `/docs` and its assets, `/openapi.json`, `/examples`. They hold no data.

Swagger UI comes from the installed package `fastapi-swagger`, whose copy is that of the official
distribution; nothing is fetched from elsewhere.
"""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from carousel.service.errors import NotFound

router = APIRouter(include_in_schema=False)

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}

_LANDING = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carousel</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
</style>
<h1>Carousel</h1>
<p>This server runs recurrent neural networks and keeps their hidden state between requests.</p>
<ul>
<li><a href="/docs">The API, to read and to try</a> (<a href="/openapi.json">OpenAPI</a>)</li>
<li><a href="/v1/models">The models it serves</a> (with a key, if it asks for one)</li>
<li><a href="/examples/stream.html">A stream from this page through a session, live</a></li>
<li><a href="/readyz">Whether it is ready</a></li>
</ul>
</html>
"""

_DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carousel: the API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""

_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""


@router.get("/")
async def landing() -> Response:
    """What this is, and where to go on."""
    return Response(_LANDING, headers=_HEADERS, media_type="text/html")


@router.get("/docs")
async def docs() -> Response:
    """Swagger UI on this service's schema."""
    return Response(_DOCS, headers=_HEADERS, media_type="text/html")


@router.get("/docs/start.js")
async def start() -> Response:
    """What starts Swagger UI; a file of its own, so that no script need stand in a page."""
    return Response(_START, headers=_HEADERS, media_type="text/javascript")


@router.get("/docs/{asset}")
async def show_asset(asset: str) -> Response:
    """A file of Swagger UI; names are looked up, never joined to a path."""
    if asset not in _ASSETS:
        raise NotFound("there is nothing at this path")
    headers = _HEADERS | {"cache-control": "max-age=86400", "content-type": _ASSETS[asset]}
    return Response(_read(asset), headers=headers)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The schema of all routes."""
    body: bytes = request.app.state.schema
    return Response(body, headers=_HEADERS, media_type="application/json")


@router.get("/examples/stream.html")
async def stream_page() -> Response:
    """A page that streams a sine or the microphone through a session."""
    return Response(_read_own("stream.html"), headers=_HEADERS, media_type="text/html")


@router.get("/examples/stream.js")
async def stream_script() -> Response:
    """What it runs."""
    return Response(_read_own("stream.js"), headers=_HEADERS, media_type="text/javascript")


@cache
def _read_own(name: str) -> bytes:
    return (files("carousel.service.api.ops") / "static" / name).read_bytes()


@cache
def _read(asset: str) -> bytes:
    return (files("fastapi_swagger") / "resources" / asset).read_bytes()
