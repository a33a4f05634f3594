"""Probes and figures: `/livez`, `/readyz`, `/metrics`."""

from fastapi import APIRouter, Response

from carousel.service.api.http.dependencies import Dependencies, Deps
from carousel.service.api.http.lifecycle import Phase
from carousel.service.api.http.responses import json_response
from carousel.service.api.openapi.refusals import refusals
from carousel.service.api.ops.views import Liveness, Readiness
from carousel.service.metrics import CONTENT_TYPE

router = APIRouter(tags=["operation"])

_UNAVAILABLE = 503


@router.get(
    "/livez",
    response_model=Liveness,
    responses={_UNAVAILABLE: {"model": Liveness, "description": "A device is lost"}},
    summary="Whether the process is of use",
)
async def livez(deps: Deps) -> Response:
    """If not, start it anew: it has lost the device that a model runs on."""
    failed = [f"{each.name}/{each.version}" for each in deps.catalog.all() if each.engine.failed]
    if failed:
        return json_response({"status": "failed", "failed": failed}, _UNAVAILABLE)
    return json_response({"status": "alive", "failed": []})


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={_UNAVAILABLE: {"model": Readiness, "description": "Not now"}},
    summary="Whether to send requests here",
)
async def readyz(deps: Deps) -> Response:
    """Not while models are loaded, while the service ends, nor when the session store has been away
    for some seconds, with the reason. Lists the artifacts that were found and are refused, while
    the others are served.
    """
    refused = [
        {"model": each.name, "version": each.version, "reason": each.reason}
        for each in deps.catalog.refused
    ]
    status = _readiness(deps)
    code = 200 if status == "ready" else _UNAVAILABLE
    answer: dict[str, object] = {"status": status, "refused": refused}
    if status == "store unavailable":
        answer["reason"] = deps.health.problem
    return json_response(answer, code)


@router.get(
    "/metrics",
    response_class=Response,
    responses=refusals() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Figures for Prometheus",
)
async def show_metrics(deps: Deps) -> Response:
    """Requests, models, sessions and the process, in Prometheus' text format."""
    return Response(deps.metrics.render(), headers={"content-type": CONTENT_TYPE})


def _readiness(deps: Dependencies) -> str:
    if deps.lifecycle.is_draining:
        return "draining"
    if deps.lifecycle.phase is Phase.LOADING:
        return "loading"
    if not deps.health.is_up:
        return "store unavailable"
    return "ready" if deps.catalog.current() else "no model"
