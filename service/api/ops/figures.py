"""What /metrics shows, read from those who count."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from carousel.service.api.http.lifecycle import Lifecycle
from carousel.service.api.http.traffic import BOUNDS_S, Traffic
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.metrics import counter, gauge, histogram
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.store_health import StoreHealth
from carousel.service.sessions.stores.base import StoreStats

_LABELS = ("model", "version")
_MEANINGS = {
    "steps": "Time steps run",
    "batches": "Batches run",
    "rows": "Rows of all batches",
    "run_seconds": "Time spent in batches",
    "failures": "Requests that ended in an error",
}


def traffic_figures(traffic: Traffic, lifecycle: Lifecycle) -> Iterator[Metric]:
    """Requests by route and status, their durations, and how many are in progress."""
    yield counter(
        "carousel_http_requests",
        "Requests answered; status 499 where the client had gone",
        ("route", "status"),
        {(route, str(status)): count for (route, status), count in traffic.answers.items()},
    )
    yield histogram(
        "carousel_http_request_seconds",
        "Time from a request's headers to its answer",
        "route",
        BOUNDS_S,
        {route: each.counts for route, each in traffic.durations.items()},
        {route: each.total_s for route, each in traffic.durations.items()},
    )
    meaning = "Requests that were accepted and are not answered yet"
    yield _total("carousel_http_requests_in_progress", meaning, lifecycle.num_accepted)


def engine_figures(catalog: Catalog) -> Iterator[Metric]:
    """What each loaded version of each model ran."""
    stats = {_label(each): each.engine.core.stats for each in catalog.all()}
    engines = {_label(each): each.engine for each in catalog.all()}
    counted: dict[str, dict[tuple[str, ...], float]] = {
        "steps": {label: each.steps for label, each in stats.items()},
        "batches": {label: each.batches for label, each in stats.items()},
        "rows": {label: each.rows for label, each in stats.items()},
        "run_seconds": {label: each.run_s for label, each in stats.items()},
        "failures": {label: each.failures for label, each in stats.items()},
    }
    for name, values in counted.items():
        yield counter(f"carousel_model_{name}", _MEANINGS[name], _LABELS, values)
    pending = {label: float(each.num_pending) for label, each in engines.items()}
    meaning = "Requests that wait or run"
    yield gauge("carousel_model_requests_pending", meaning, _LABELS, pending)
    failed = {label: float(each.failed) for label, each in engines.items()}
    yield gauge("carousel_model_failed", "1 once its device is lost", _LABELS, failed)
    yield _total("carousel_artifacts_refused", "Artifacts not served", len(catalog.refused))


def session_figures(sessions: Sessions) -> Iterator[Metric]:
    """Sessions in memory."""
    meaning = "Sessions that are in memory"
    yield _total("carousel_sessions_resident", meaning, sessions.num_in_memory)


def store_figures(stats: StoreStats, health: StoreHealth) -> Iterator[Metric]:
    """What the session store wrote, and whether it is there."""
    counted = (
        ("commits", "Commits, each of one or many rows", stats.commits),
        ("rows", "Sessions written by commits", stats.rows),
        ("commit_seconds", "Time spent in commits", stats.seconds),
        ("failures", "Commits that failed", stats.failures),
    )
    for name, meaning, value in counted:
        yield counter(f"carousel_store_{name}", meaning, (), {(): value})
    meaning = "Time of the slowest commit since the start"
    yield _total("carousel_store_slowest_commit_seconds", meaning, stats.slowest_s)
    yield _total("carousel_store_up", "0 while the store is away", float(health.is_up))


def _label(loaded: LoadedModel) -> tuple[str, ...]:
    return loaded.name, str(loaded.version)


def _total(name: str, meaning: str, value: float) -> Metric:
    return gauge(name, meaning, (), {(): value})
