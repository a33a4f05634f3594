"""The page that streams from a browser: what is served, and what it does in headless Chromium."""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.client.client_rig import F, Phoenix, close, run_eager
from tests.harness.browser import PROGRAM, Page, opened, started
from tests.harness.client import MODEL
from tests.harness.live import Live

if TYPE_CHECKING:
    from tests.harness.served import Served

PAGE, SCRIPT = "/examples/stream.html", "/examples/stream.js"
KEY = "correct-horse-battery+/?"


@pytest.fixture(scope="module")
def chromium() -> Iterator[str]:
    """The address of a browser."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    with started() as address:
        yield address


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    """A new page."""
    with opened(chromium) as page:
        yield page


def numbers_of(frames: list[bytes], width: int) -> Any:
    """All frames as one array, (T, width)."""
    return np.frombuffer(b"".join(frames), "<f4").reshape(-1, width).copy()


def drawn(page: Page, canvas: str) -> int:
    """How many pixels of a canvas are not empty."""
    script = """(() => { const c = document.getElementById(%r);
        return c.getContext("2d").getImageData(0, 0, c.width, c.height).data
            .filter((value, index) => index %% 4 === 3 && value > 0).length })()"""
    return int(page.run(script % canvas))


def test_it_is_short_and_fetches_nothing_from_elsewhere(live: Live) -> None:
    """Under 150 lines with its script, and no address of another host in it."""
    texts = [live.client.get(path).text for path in (PAGE, SCRIPT)]
    assert sum(text.count("\n") for text in texts) < 150
    for text in texts:
        assert not re.search(r"(https?:)?//[a-z]", text.replace("// ", ""))


def test_it_is_served_like_the_other_pages(repository: Path) -> None:
    """Without a key, with the same policy for its content, and linked from the first page."""
    with Live(repository, env={"CAROUSEL_API_KEY": KEY}) as live:
        home = live.client.get("/")
        assert f'href="{PAGE}"' in home.text
        for path, kind in ((PAGE, "text/html"), (SCRIPT, "text/javascript")):
            answer = live.client.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
            for name in ("content-security-policy", "x-content-type-options"):
                assert answer.headers[name] == home.headers[name]


def test_a_sine_goes_through_a_session(page: Page, live: Live, served: "dict[str, Served]") -> None:
    """Every answer is the eager module's for what was sent; both are drawn; stopping ends it."""
    page.open(live.url + PAGE)
    assert page.text("status") == "ready"
    page.choose("model", MODEL)
    page.click("start")
    page.wait_for_steps(300)
    assert drawn(page, "input") > 1000
    assert drawn(page, "output") > 1000
    session_id = page.text("status").removeprefix("session ")
    assert live.client.get(f"/v1/sessions/{session_id}").json()["model"] == MODEL
    page.click("stop")
    assert page.text("status") == "stopped"
    (frames,) = page.frames()
    x, y = numbers_of(frames.sent, F), numbers_of(frames.received, 20)
    assert 300 <= len(y) <= len(x)
    assert np.abs(x).max() > 0.9
    close(y, run_eager(served, x).output[: len(y)])
    page.wait_for(f"fetch('/v1/sessions/{session_id}').then((answer) => answer.status === 404)")
    page.click("start")
    page.wait_for_steps(len(y) + 1)
    assert [each for each in page.faults() if session_id not in json.dumps(each)] == []


def test_models_of_any_width_are_offered(page: Page, live: Live) -> None:
    """All that take floats and answer step by step, and no others."""
    page.open(live.url + PAGE)
    offered = page.run("[...document.getElementById('model').options].map((each) => each.value)")
    assert {MODEL, "gru-10-20-2", "lstm-proj"} <= set(offered)
    assert not {"tokens", "bilstm-10-20-2", "attention"} & set(offered)


def test_the_microphone_goes_through_a_session(page: Page, live: Live) -> None:
    """Samples come from the audio thread, and are answered."""
    page.open(live.url + PAGE)
    page.choose("model", MODEL)
    page.choose("source", "microphone")
    page.click("start")
    # The browser's stand-in for a microphone beeps once a second: 1,600 steps of ten samples.
    page.wait_for_steps(2000)
    page.click("stop")
    (frames,) = page.frames()
    assert np.abs(numbers_of(frames.sent, F)).max() > 0
    assert page.faults() == []


def test_a_key_is_asked_for_and_sent(page: Page, repository: Path) -> None:
    """Without it the page says so; with it models are listed and streams opened."""
    with Live(repository, env={"CAROUSEL_API_KEY": KEY}) as live:
        page.open(live.url + PAGE)
        assert "no API key given" in page.text("status")
        page.choose("key", KEY)
        page.wait_for_status("ready")
        page.click("start")
        page.wait_for_steps(50)
        page.choose("key", "wrong-horse-battery")
        page.wait_for_status("not the service's")
        page.click("stop")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_is_survived(
    page: Page,
    repository: Path,
    served: "dict[str, Served]",
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """The same session goes on: no frame is lost, none is done twice."""
    with Phoenix(repository, tmp_path) as phoenix:
        page.open(phoenix.url + PAGE)
        page.click("start")
        page.wait_for_steps(200)
        before = page.text("status")
        phoenix.end(number)
        page.wait_for_status("connecting again")
        phoenix.rise()
        page.wait_for_status("session")
        assert page.text("status") == before
        page.wait_for_steps(int(page.text("steps")) + 200)
        page.click("stop")
    first, second = page.frames()
    pending = first.sent[len(first.received) :]
    again = next(
        count
        for count in range(len(pending), -1, -1)
        if second.sent[:count] == pending[len(pending) - count :]
    )
    x = numbers_of(first.sent + second.sent[again:], F)
    y = numbers_of(first.received + second.received, 20)
    assert len(y) >= 400
    close(y, run_eager(served, x).output[: len(y)])
