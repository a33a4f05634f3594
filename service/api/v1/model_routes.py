"""`/v1/models`: what is served."""

from fastapi import APIRouter, Response

from carousel.service.api.http.dependencies import Dependencies, Deps
from carousel.service.api.http.exchange import read_version
from carousel.service.api.http.responses import json_response
from carousel.service.api.openapi.refusals import refusals
from carousel.service.api.v1.views import ModelInfo, ModelList, show_model
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import ModelNotFound

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=ModelList, responses=refusals(), summary="List the models")
async def list_models(deps: Deps) -> Response:
    """Every model at its highest version."""
    models = [show_model(each, deps.catalog, _max(deps)) for each in deps.catalog.current()]
    return json_response({"models": models})


@router.get(
    "/{model}",
    response_model=ModelInfo,
    responses=refusals(ModelNotFound),
    summary="Show a model's highest version",
)
async def get_model(deps: Deps, model: str) -> Response:
    """Its tensors, whether it can be streamed, and how exact it is."""
    return _show(deps, deps.catalog.get(model))


@router.get(
    "/{model}/versions/{version}",
    response_model=ModelInfo,
    responses=refusals(ModelNotFound),
    summary="Show a version of a model",
)
async def get_model_version(deps: Deps, model: str, version: str) -> Response:
    """As for the highest version."""
    return _show(deps, deps.catalog.get(model, read_version(version)))


def _show(deps: Dependencies, loaded: LoadedModel) -> Response:
    return json_response(show_model(loaded, deps.catalog, _max(deps)))


def _max(deps: Dependencies) -> int:
    return deps.codecs.max_steps
