"""Who may ask: the key in front of every route, and pages of strangers kept out without one."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from carousel.service.api.control import ROUTES
from carousel.service.api.http.authenticator import OPEN_FOLDER, OPEN_PATHS, Authenticator
from carousel.service.api.v2.fault import is_oip
from carousel.service.errors import Forbidden, Unauthorized
from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.routes import DATA_PATHS

KEY = "a-key-of-the-tests-42"


def every_route() -> list[tuple[str, str]]:
    """Method and path template of every route of both planes."""
    control = [(method, each.path) for each in ROUTES for method in sorted(each.methods or ())]
    return control + [("POST", path) for path in DATA_PATHS]


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
        ("a.localhost", 200),
        ("carousel.default.svc.cluster.local", 403),
    ):
        answer = live.client.get("/v1/models", headers={"Host": host})
        assert answer.status_code == status, host
    assert live.client.get("/livez", headers={"Host": "evil.example.com"}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("printer.local", "carousel.default.svc.cluster.local", "x.cluster.local:8000"),
        *("host.docker.internal", "metadata.google.internal", "a.test", "A.LOCAL", "local."),
        *("localhost.", "localhost.evil.example", "notlocalhost.com", "a.localhost.test", "127.1"),
        *("carousel.default", "a.home.arpa", "a.lan", "127.0.0.1.nip.io", "0x7f.1", ".localhost."),
    ],
)
def test_names_that_a_neighbour_may_answer_for_are_refused(host: str) -> None:
    """Without a key: nobody can buy them, and whoever is in the network can still pose as them.
    What is named by the setting is believed.
    """
    with pytest.raises(Forbidden) as refused:
        Authenticator("").admit({b"host": host.encode()})
    name = host.partition(":")[0].lower()
    assert f"CAROUSEL_ALLOWED_HOSTS={name}" in (refused.value.hint or "")
    assert Authenticator("", [name]).admit({b"host": host.encode()})


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost:8000", "A.LOCALHOST", "carousel", "10.0.0.7:80", "[fe80::1]"]
)
def test_what_no_page_can_pose_as_is_believed(host: str) -> None:
    """The machine itself, addresses, and names without a dot."""
    assert Authenticator("").admit({b"host": host.encode()})


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


def test_hosts_by_their_suffix_and_any_host() -> None:
    """`*.suffix` is what stands below a name, not the name itself nor one that ends alike."""
    below = Authenticator("", ["*.team-a", "*.svc.example"])
    for host in ("model.team-a", "MODEL.team-a:8000", "a.b.svc.example"):
        assert below.admit({b"host": host.encode()})
    for host in ("modelteam-a.com", "x.eteam-a", "svc.example", "a.svc.example.com"):
        with pytest.raises(Forbidden):
            below.admit({b"host": host.encode()})
    assert Authenticator("", ["*"]).admit({b"host": b"other.example.com"})


def test_what_a_refused_host_is_told_to_set_is_what_lets_it_in() -> None:
    """The setting and the value."""
    with pytest.raises(Forbidden) as refused:
        Authenticator("").admit({b"host": b"model.team-a:8000"})
    found = re.search("CAROUSEL_ALLOWED_HOSTS=([^ ]+) ", refused.value.hint or "")
    assert found is not None
    assert Authenticator("", [found[1]]).admit({b"host": b"model.team-a:8000"})


def test_what_a_refused_page_is_told_to_set_is_what_lets_it_in() -> None:
    """The setting and the value."""
    headers = {b"host": b"localhost:8000", b"origin": b"https://App.example.com:8443"}
    with pytest.raises(Forbidden) as refused:
        Authenticator("").admit(headers)
    found = re.search("CAROUSEL_CORS_ORIGINS=([^ ]+) ", refused.value.hint or "")
    assert found is not None
    assert Authenticator("", origins=[found[1]]).admit(headers)


PAGE = "https://app.example.com"


@pytest.mark.parametrize("key", ["", KEY])
def test_pages_that_are_allowed_read_answers_and_errors(repository: Path, key: str) -> None:
    """With a key and without: the browser's question before, the answer, errors; no other page."""
    env = {"CAROUSEL_CORS_ORIGINS": f"{PAGE}, http://127.0.0.1:3000"}
    env |= {"CAROUSEL_API_KEY": key} if key else {}
    with Live(repository, env=env) as service:
        path = f"/v1/models/{MODEL}/infer"
        asks = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,carousel-position",
        }
        before = service.client.options(path, headers=asks)
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == PAGE
        assert "carousel-position" in before.headers["access-control-allow-headers"].lower()
        other = {**asks, "Origin": "https://evil.example.com"}
        assert service.client.options(path, headers=other).status_code == 400
        own = {"Origin": PAGE} | ({"Authorization": f"Bearer {key}"} if key else {})
        body = {"sequences": [[[0.5] * 10]]}
        for answer in (
            service.client.post(path, json=body, headers=own),
            service.client.post(path, json={}, headers=own),
            service.client.get("/v1/models", headers=own),
            service.client.get("/v1/sessions/none", headers=own),
        ):
            assert answer.status_code in (200, 404, 422)
            assert answer.headers["access-control-allow-origin"] == PAGE
        opened = service.client.post("/v1/sessions", json={"model": MODEL}, headers=own)
        step = opened.headers["location"] + "/steps"
        for position in range(3):
            json = {"inputs": [[0.5] * 10], "position": position}
            answer = service.client.post(step, json=json, headers=own)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == PAGE
        evil = {**own, "Origin": "https://evil.example.com"}
        answer = service.client.get("/v1/models", headers=evil)
        assert answer.status_code == (200 if key else 403)
        assert "access-control-allow-origin" not in answer.headers


def test_streams_of_pages_that_are_allowed(repository: Path) -> None:
    """A WebSocket asks no question before; its Origin is judged as any other."""
    with Live(repository, env={"CAROUSEL_CORS_ORIGINS": PAGE}) as service:
        url = service.url.replace("http://", "ws://") + f"/v1/models/{MODEL}/stream"
        with connect(url, origin=Origin(PAGE)) as stream:
            assert "session_id" in str(stream.recv(timeout=30))
        with connect(url, origin=Origin("https://evil.example.com")) as stream:
            assert "CAROUSEL_CORS_ORIGINS=https://evil.example.com" in str(stream.recv(timeout=30))


def test_one_connection_after_refusals(guarded: Live) -> None:
    """A refusal leaves the connection usable, with a body that nobody read."""
    with httpx.Client(base_url=guarded.url, timeout=30) as client:
        for _ in range(3):
            assert client.post("/v1/steps", content=bytes(100_000)).status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        assert client.get("/v1/models", headers=headers).status_code == 200
