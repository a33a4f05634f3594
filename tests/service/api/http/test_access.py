"""Who may ask: the key in front of every route, and pages of strangers kept out without one."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from carousel.service.api.control import ROUTES
from carousel.service.api.http.authenticator import OPEN_FOLDER, OPEN_PATHS, Authenticator
from carousel.service.api.openapi.v1 import data_operations
from carousel.service.api.openapi.v2 import oip_operations
from carousel.service.api.v2.fault import is_oip
from carousel.service.errors import Forbidden, Unauthorized
from tests.harness.client import MODEL
from tests.harness.live import Live

KEY = "a-key-of-the-tests-42"


def every_route() -> list[tuple[str, str]]:
    """Method and path template of every route of both planes."""
    control = [(method, each.path) for each in ROUTES for method in sorted(each.methods or ())]
    return control + [("POST", path) for path in data_operations() | oip_operations()]


@pytest.fixture(scope="module")
def guarded(repository: Path) -> Iterator[Live]:
    """A service with a key."""
    with Live(repository, env={"CAROUSEL_API_KEY": KEY}) as service:
        yield service


@pytest.mark.parametrize(("method", "template"), every_route())
def test_key_guards_every_route(guarded: Live, method: str, template: str) -> None:
    """Every route but probes and static pages answers 401 without the key, and not with it."""
    path = template.format(model=MODEL, version=1, session_id="s", asset="swagger-ui.css")
    is_open = template in OPEN_PATHS or template.startswith(OPEN_FOLDER)
    for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong-1"}, {"Authorization": KEY}):
        answer = guarded.client.request(method, path, headers=headers)
        assert (answer.status_code == 401) is not is_open
        if not is_open:
            told = answer.json()["error" if is_oip(path) else "code"]
            assert told.partition(":")[0] == "unauthorized"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert KEY not in answer.text
    answer = guarded.client.request(method, path, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code != 401


def test_open_pages_hold_no_data(guarded: Live) -> None:
    """What is open names no model and no session."""
    for path in OPEN_PATHS:
        answer = guarded.client.get(path)
        assert answer.status_code == 200
        assert MODEL not in answer.text or path == "/openapi.json"


def test_paths_are_hidden_without_key(guarded: Live) -> None:
    """Without the key nobody learns which paths there are."""
    for path in ("/v1/none", "/docs/../v1/models", "/docs/%2e%2e/v1/models", "/v2", "//v1/models"):
        assert guarded.client.get(path).status_code in (401, 404)
        assert "models" not in guarded.client.get(path).text


def test_scheme_has_no_case(guarded: Live) -> None:
    """The scheme's case and spaces do not matter; the key's do."""
    for given, status in (
        (f"bearer  {KEY}", 200),
        (f"BEARER {KEY}", 200),
        (f"Bearer {KEY.upper()}", 401),
    ):
        answer = guarded.client.get("/v1/models", headers={"Authorization": given})
        assert answer.status_code == status


def test_foreign_host_is_refused(live: Live) -> None:
    """Without a key, a name that a stranger may own is refused: a page could resolve it to here."""
    for host, status in (
        ("evil.example.com", 403),
        ("evil.example.com:8000", 403),
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("carousel:8000", 200),
        ("carousel.default.svc.cluster.local", 200),
    ):
        answer = live.client.get("/v1/models", headers={"Host": host})
        assert answer.status_code == status, host
    assert live.client.get("/livez", headers={"Host": "evil.example.com"}).status_code == 200


def test_foreign_origin_is_refused(live: Live) -> None:
    """Without a key, a page of another origin can neither read nor write; our own pages can."""
    body = {"sequences": [[[0.5] * 10]]}
    path = f"/v1/models/{MODEL}/infer"
    for origin, status in ((live.url, 200), ("https://evil.example.com", 403), ("null", 403)):
        answer = live.client.post(path, json=body, headers={"Origin": origin})
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


def test_allowed_hosts() -> None:
    """Further names may be allowed; with a key any name will do."""
    guard = Authenticator("", ["models.example.com"])
    assert guard.admit({b"host": b"Models.example.com:80"})
    with pytest.raises(Forbidden):
        guard.admit({b"host": b"other.example.com"})
    assert Authenticator(KEY).admit(
        {b"host": b"other.example.com", b"authorization": f"Bearer {KEY}".encode()}
    )
    with pytest.raises(Unauthorized):
        Authenticator(KEY).admit({b"host": b"localhost"})


def test_one_connection_after_refusals(guarded: Live) -> None:
    """A refusal leaves the connection usable, with a body that nobody read."""
    with httpx.Client(base_url=guarded.url, timeout=30) as client:
        for _ in range(3):
            assert client.post("/v1/steps", content=bytes(100_000)).status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        assert client.get("/v1/models", headers=headers).status_code == 200
