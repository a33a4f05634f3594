"""`/v1/models`: what is served."""

from fastapi import APIRouter, Response

from carousel.service.api.http.exchange import read_version
from carousel.service.api.http.parts import Given, Parts
from carousel.service.api.http.responses import json_response
from carousel.service.api.v1.views import ModelInfo, ModelList, show_model
from carousel.service.engine.loaded import Loaded

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=ModelList, summary="List the models")
async def list_models(given: Given) -> Response:
    """Every model at its highest version."""
    models = [show_model(each, given.catalog, _max(given)) for each in given.catalog.current()]
    return json_response({"models": models})


@router.get("/{model}", response_model=ModelInfo, summary="Show a model's highest version")
async def show_current(given: Given, model: str) -> Response:
    """Its tensors, whether it can be streamed, and how exact it is."""
    return _show(given, given.catalog.get(model))


@router.get(
    "/{model}/versions/{version}", response_model=ModelInfo, summary="Show a version of a model"
)
async def show_version(given: Given, model: str, version: str) -> Response:
    """As for the highest version."""
    return _show(given, given.catalog.get(model, read_version(version)))


def _show(given: Parts, loaded: Loaded) -> Response:
    return json_response(show_model(loaded, given.catalog, _max(given)))


def _max(given: Parts) -> int:
    return given.codecs.max_steps
