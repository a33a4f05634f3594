"""`/v2` but for inference: probes and metadata."""

from typing import Any

import orjson
from fastapi import APIRouter, Response

from carousel.service.api.http.dependencies import Dependencies, Deps
from carousel.service.api.http.exchange import read_version
from carousel.service.api.http.responses import json_response
from carousel.service.api.ops.probes import livez, readyz
from carousel.service.api.v2.bodies import OipLive, OipModel, OipModelReady, OipReady, OipServer
from carousel.service.api.v2.fault import oip_refusals
from carousel.service.api.v2.metadata import model_metadata, server_metadata
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import ModelNotFound
from carousel.service.release import release

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_OK, _UNAVAILABLE = 200, 503
_READY = oip_refusals(ModelNotFound) | {
    _UNAVAILABLE: {"model": OipModelReady, "description": "`model_unavailable`: its device is lost"}
}


@router.get("/", include_in_schema=False)
@router.get("", response_model=OipServer, responses=oip_refusals(), summary="What this server is")
async def oip_server() -> Response:
    """Its name, version, and the extensions of the protocol that it has."""
    return json_response(server_metadata(release()))


@router.get(
    "/health/live",
    response_model=OipLive,
    responses={_UNAVAILABLE: {"model": OipLive, "description": "A device is lost"}},
    summary="Whether the process is of use",
)
async def oip_live(deps: Deps) -> Response:
    """As /livez."""
    told = await livez(deps)
    return _probe({"live": told.status_code == _OK}, told)


@router.get(
    "/health/ready",
    response_model=OipReady,
    responses={_UNAVAILABLE: {"model": OipReady, "description": "Not now"}},
    summary="Whether to send requests here",
)
async def oip_ready(deps: Deps) -> Response:
    """As /readyz."""
    alive, told = await livez(deps), await readyz(deps)
    shown = {"live": alive.status_code == _OK, "ready": told.status_code == _OK}
    return _probe(shown, told)


@router.get(
    "/models/{model}",
    response_model=OipModel,
    responses=oip_refusals(ModelNotFound),
    summary="A model's tensors",
)
async def oip_model(deps: Deps, model: str) -> Response:
    """Of its highest version: names, datatypes and shapes, as requests have them."""
    return _show(deps, deps.catalog.get(model))


@router.get(
    "/models/{model}/versions/{version}",
    response_model=OipModel,
    responses=oip_refusals(ModelNotFound),
    summary="The tensors of a model's version",
)
async def oip_model_version(deps: Deps, model: str, version: str) -> Response:
    """As for the highest version."""
    return _show(deps, deps.catalog.get(model, read_version(version)))


@router.get(
    "/models/{model}/ready",
    response_model=OipModelReady,
    responses=_READY,
    summary="Whether a model can be asked",
)
async def oip_model_ready(deps: Deps, model: str) -> Response:
    """Its highest version."""
    return _ready(deps.catalog.get(model))


@router.get(
    "/models/{model}/versions/{version}/ready",
    response_model=OipModelReady,
    responses=_READY,
    summary="Whether a model's version can be asked",
)
async def oip_model_version_ready(deps: Deps, model: str, version: str) -> Response:
    """As for the highest version."""
    return _ready(deps.catalog.get(model, read_version(version)))


def _show(deps: Dependencies, loaded: LoadedModel) -> Response:
    return json_response(model_metadata(loaded, deps.catalog.versions(loaded.name)))


def _ready(loaded: LoadedModel) -> Response:
    if loaded.engine.failed:
        error = f"model_unavailable: the device of {loaded.name} is lost"
        return json_response({"name": loaded.name, "ready": False, "error": error}, _UNAVAILABLE)
    return json_response({"name": loaded.name, "ready": True})


def _probe(shown: dict[str, Any], told: Response) -> Response:
    """A probe's answer, by what the service's own probe said."""
    if told.status_code != _OK:
        shown["error"] = orjson.loads(told.body)["status"]
    return json_response(shown, told.status_code)
