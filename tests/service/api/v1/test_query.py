"""What stands beside the body of a step: flags in the query, the position in a header."""

import pytest

from tests.harness.client import RAW, Client, refused

ROW = [0.5] * 10


@pytest.mark.parametrize("query", ["commit=perhaps", "comit=false", "commit"])
def test_bad_query(session: Client, query: str) -> None:
    """A flag that is misspelt is refused: passed over, it would move the state."""
    path = f"{session.path}/steps?{query}"
    refused(session.http.post(path, content=bytes(40), headers=RAW), 422, "invalid_request")
    refused(session.http.post(path, json={"inputs": [ROW]}), 422, "invalid_request")
    assert session.position == 0


@pytest.mark.parametrize("member", [{}, {"commit": True}, {"commit": False}])
def test_flag_of_the_query_counts_in_json(session: Client, member: dict[str, bool]) -> None:
    """Whatever is unusual counts, beside a body that says the usual."""
    path, body = f"{session.path}/steps", {"inputs": [ROW], **member}
    tried = session.http.post(f"{path}?commit=false&return_state=true", json=body)
    assert tried.status_code == 200
    assert tried.json()["position"] == 1
    assert set(tried.json()["state"]) == {"h", "c"}
    assert session.position == 0
    answer = session.http.post(f"{path}?commit=true&return_state=false", json=body)
    assert "state" not in answer.json()
    assert session.position == (0 if member.get("commit") is False else 1)


def test_flag_that_is_no_boolean_is_refused_beside_a_query(session: Client) -> None:
    """The query does not stand in for it."""
    body = {"inputs": [ROW], "commit": "no"}
    answer = session.http.post(f"{session.path}/steps?commit=false", json=body)
    refused(answer, 422, "invalid_request")
    assert session.position == 0


def test_two_positions(session: Client) -> None:
    """A position in the header counts in JSON too, and one that differs from the body's does not
    pass.
    """
    body = {"inputs": [ROW], "position": 0}
    path, header = f"{session.path}/steps", "Carousel-Position"
    refused(session.http.post(path, json=body, headers={header: "1"}), 422, "invalid_request")
    assert session.http.post(path, json=body, headers={header: "0"}).status_code == 200
    del body["position"]
    other = {"inputs": [[0.1] * 10]}
    refused(session.http.post(path, json=other, headers={header: "0"}), 409, "position_conflict")
    assert session.http.post(path, json=body, headers={header: "1"}).json()["position"] == 2
