"""The page /docs as somebody uses it who reads none of it: in headless Chromium."""

import shutil
from collections.abc import Iterator

import pytest

from carousel.service.api.openapi.examples import MODEL, SESSION
from tests.harness.browser import PROGRAM, Page, opened, started
from tests.harness.live import Live

STEP = "document.getElementById('operations-steps-step')"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a browser."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    with started() as address, opened(address) as page:
        yield page


def test_execute_on_a_step_with_nothing_changed(live: Live, page: Page) -> None:
    """The session moves by the step of the example."""
    opened = live.client.post("/v1/sessions", json={"model": MODEL, "session_id": SESSION})
    assert opened.status_code == 201, opened.text
    page.call("Page.navigate", url=f"{live.url}/docs")
    for button in ("opblock-summary-control", "execute"):
        place = f"{STEP}?.querySelector('.{button}')"
        page.wait_for(place)
        page.run(f"{place}.click()")
    status = f"{STEP}.querySelector('.live-responses-table tbody td')"
    page.wait_for(f"{status} && /\\d/.test({status}.textContent)")
    assert page.run(f"{status}.textContent").startswith("200")
    assert live.client.get(f"/v1/sessions/{SESSION}").json()["position"] == 1
    live.client.delete(f"/v1/sessions/{SESSION}")
