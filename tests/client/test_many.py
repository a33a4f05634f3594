"""The Python client and steps of many sessions at once: the module's own answers, row by row."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carousel_client import AsyncClient, Client
from carousel_client.columns import MAX_ROWS
from carousel_client.errors import (
    ConnectionLost,
    InvalidRequest,
    ModelNotFound,
    NonFiniteInput,
    PositionConflict,
    QueueFull,
    SessionNotFound,
    ShapeMismatch,
)
from carousel_client.tensorfile import read_metadata, read_tensors, write_tensors
from tests.client.client_rig import F, close, run_eager
from tests.client.client_script import answer_of, scripted
from tests.client.described import NUM_OUTPUTS, describe
from tests.harness.client import MODEL, numbers
from tests.harness.live import Live

if TYPE_CHECKING:
    from tests.harness.served import Served

ROWS = 6
IDS = [f"many-{row}" for row in range(ROWS)]
X = numbers(ROWS, 8, F, seed=31)
TENSORS = "application/x-safetensors"


class Column:
    """What a column of a DataFrame is to who knows no pandas."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._values, dtype)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@pytest.fixture
def whole(served: "Mapping[str, Served]") -> Any:
    """The eager module over each row's eight time steps, (rows, 8, 20)."""
    return np.stack([run_eager(served, each).output for each in X])


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """A client that tries once."""
    with Client(live.url, retry_s=0) as client:
        yield client


def test_columns_are_the_modules_own(client: Client, whole: Any) -> None:
    """Without time, with it, and packed: each goes on from the one before."""
    first = client.step_many(MODEL, IDS, X[:, 0], positions=[0] * ROWS, open=True)
    close(first.outputs, whole[:, 0])
    assert first.opened.all()
    assert first.positions.tolist() == [1] * ROWS
    second = client.step_many(MODEL, IDS, X[:, 1:3], positions=first.positions)
    close(second.outputs, whole[:, 1:3])
    assert second.ok.all()
    assert not second.opened.any()
    lengths = np.array([1, 2, 5, 3, 1, 4])
    packed = np.concatenate([x[3 : 3 + n] for x, n in zip(X, lengths, strict=True)])
    third = client.step_many(MODEL, IDS, packed, positions=second.positions, lengths=lengths)
    expected = [y[3 : 3 + n] for y, n in zip(whole, lengths, strict=True)]
    close(third.outputs, np.concatenate(expected))
    assert third.positions.tolist() == (3 + lengths).tolist()
    again = client.step_many(MODEL, IDS, packed, positions=second.positions, lengths=lengths)
    assert again.replayed.all()
    assert np.array_equal(again.outputs, third.outputs)


def test_columns_of_a_table(client: Client, whole: Any) -> None:
    """Whatever NumPy takes: wider floats, gaps in the positions as NaN or None."""
    features = Column(X[:, 0].astype(np.float64))
    told = client.step_many(MODEL, Column(IDS), features, positions=Column([0.0] * ROWS), open=True)
    close(told.outputs, whole[:, 0])
    for positions in ([1, None, 1, None, 1, 1], [np.nan, 2.0, 2.0, np.nan, 2.0, 2.0]):
        told = client.step_many(MODEL, Column(IDS), features, positions=positions)
        assert told.ok.all()


def test_each_row_has_its_own_error(client: Client, whole: Any) -> None:
    """By the client's types; the other rows are done."""
    client.step_many(MODEL, IDS[:4], X[:4, 0], open=True)
    x = X[:, 1].copy()
    x[0, 3] = np.nan
    told = client.step_many(MODEL, IDS, x, positions=[1, 7, 1, -1, 1, 1])
    assert told.status.tolist() == [422, 409, 200, 200, 404, 404]
    assert told.ok.tolist() == [False, False, True, True, False, False]
    kinds = {row: type(each) for row, each in told.errors.items()}
    assert kinds == {
        0: NonFiniteInput,
        1: PositionConflict,
        4: SessionNotFound,
        5: SessionNotFound,
    }
    conflict = told.errors[1]
    assert isinstance(conflict, PositionConflict)
    assert conflict.position == 1
    assert told.positions.tolist() == [1, 1, 2, 2, -1, -1]
    assert not told.outputs[~told.ok].any()
    close(told.outputs[2:4], whole[2:4, 1])


def test_many_rows_go_in_several_requests(client: Client) -> None:
    """As one: rows keep their places, also those at fault."""
    count = MAX_ROWS + 5
    ids = [f"crowd-{row}" for row in range(count)]
    x = np.zeros((count, F), np.float32)
    x[-3] = np.inf
    x[7] = np.nan
    told = client.step_many("gru-10-20-2", ids, x, open=True)
    assert list(told.errors) == [7, count - 3]
    assert told.outputs.shape == (count, 20)
    assert (told.positions[told.ok] == 1).all()
    for each in client.sessions():
        client.delete_session(each.session_id)


def test_no_rows_are_no_request(client: Client) -> None:
    """An empty table is answered by empty columns."""
    told = client.step_many(MODEL, [], np.zeros((0, F), np.float32))
    assert (told.outputs.shape, told.positions.shape, told.errors) == ((0, 20), (0,), {})


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"session_ids": ["a", "b", "a"]}, InvalidRequest),
        ({"session_ids": ["a", "b", 3]}, InvalidRequest),
        ({"session_ids": ["a", "b"]}, ShapeMismatch),
        ({"inputs": np.zeros((3, F + 1))}, ShapeMismatch),
        ({"inputs": np.zeros((3, F), complex)}, InvalidRequest),
        ({"inputs": 1.0}, ShapeMismatch),
        ({"positions": [0, 1]}, InvalidRequest),
        ({"positions": [0, 1, 0.5]}, InvalidRequest),
        ({"positions": ["0", "1", "2"]}, InvalidRequest),
        ({"lengths": [1, 1, 2]}, ShapeMismatch),
        ({"lengths": [1, 1, -1]}, InvalidRequest),
        ({"lengths": [1.0, 1.0, 1.0]}, InvalidRequest),
        ({"model": "nobody"}, ModelNotFound),
        ({"version": 9}, ModelNotFound),
    ],
)
def test_what_is_wrong_as_a_whole_is_raised(
    client: Client, more: dict[str, Any], kind: type[Exception]
) -> None:
    """By the client's types, whoever of the two finds it."""
    asked = {"model": MODEL, "session_ids": ["a", "b", "c"], "inputs": np.zeros((3, F))}
    with pytest.raises(kind):
        client.step_many(**(asked | more))


def test_the_same_with_asyncio(live: Live, whole: Any) -> None:
    """Through the other client."""

    async def run() -> None:
        async with AsyncClient(live.url) as client:
            told = await client.step_many(MODEL, IDS, X, open=True, ttl_s=60)
            close(told.outputs, whole)
            info = await client.session_info(IDS[0])
            assert (info.expires_at - info.last_used_at).total_seconds() == 60

    asyncio.run(run())


DESCRIBED = answer_of(200, json.dumps(describe()).encode())


def _answer(status: list[int], **errors: Any) -> bytes:
    rows = len(status)
    tensors: dict[str, Any] = {
        "y": np.ones((rows, NUM_OUTPUTS), np.float32),
        "position": np.ones(rows, np.int64),
        "status": np.array(status, np.int16),
        "replayed": np.zeros(rows, np.uint8),
    }
    told = {row.removeprefix("row"): each for row, each in errors.items()}
    return answer_of(200, write_tensors(tensors, {"errors": json.dumps(told)}), TENSORS)


def _asked(request: bytes) -> tuple[list[str], dict[str, Any]]:
    body = request.partition(b"\r\n\r\n")[2]
    return json.loads(read_metadata(body)["session_ids"]), read_tensors(body)


BUSY = {"status": 503, "code": "queue_full", "detail": "full", "advanced": False}
UNSURE = {"status": 503, "code": "store_unavailable", "detail": "away", "advanced": "unknown"}


def test_what_names_its_position_is_sent_again_after_a_loss() -> None:
    """The very same request."""
    with scripted([DESCRIBED, b"", _answer([200, 200])]) as (url, seen), Client(url) as client:
        told = client.step_many("m", ["a", "b"], np.ones((2, 3), np.float32), positions=[0, 4])
    assert told.ok.all()
    assert len(seen) == 3
    assert seen[1].partition(b"\r\n\r\n")[2] == seen[2].partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("positions", [None, [0, None]])
def test_what_does_not_is_sent_once(positions: Any) -> None:
    """One row without a position is enough: it might be done twice."""
    x = np.ones((2, 3), np.float32)
    with scripted([DESCRIBED, b"", DESCRIBED]) as (url, seen), Client(url) as client:
        with pytest.raises(ConnectionLost):
            client.step_many("m", ["a", "b"], x, positions=positions)
        client.model("m")
    assert [each.split(b" ")[0] for each in seen] == [b"GET", b"POST", b"GET"]


def test_rows_that_may_pass_are_sent_again_alone() -> None:
    """Those that were surely not done, and those that name their position; the others stay."""
    first = _answer([503, 200, 503, 503], row0=BUSY, row2=UNSURE, row3=UNSURE)
    answers = [DESCRIBED, first, _answer([200, 200])]
    with scripted(answers) as (url, seen), Client(url) as client:
        x = np.arange(12, dtype=np.float32).reshape(4, 3)
        told = client.step_many("m", list("abcd"), x, positions=[-1, 0, 0, -1])
    ids, tensors = _asked(seen[2])
    assert ids == ["a", "c"]
    assert tensors["x0"].tolist() == x[[0, 2]].tolist()
    assert tensors["position"].tolist() == [-1, 0]
    assert told.status.tolist() == [200, 200, 200, 503]
    assert list(told.errors) == [3]


def test_rows_that_do_not_pass_in_time_keep_their_error() -> None:
    """Nothing is raised: the others were done."""
    answers = [DESCRIBED, _answer([503, 200], row0=BUSY)]
    with scripted(answers) as (url, _), Client(url, retry_s=0) as client:
        told = client.step_many("m", ["a", "b"], np.ones((2, 3), np.float32))
    assert isinstance(told.errors[0], QueueFull)
    assert told.ok.tolist() == [False, True]


def test_a_later_request_that_fails_leaves_what_was_done() -> None:
    """Its rows have the error, and those that were to come."""
    rows = 101  # of 100 time steps in a request that the server described
    answers = [DESCRIBED, _answer([200] * 100), b""]
    with scripted(answers) as (url, _), Client(url, retry_s=0) as client:
        x = np.ones((rows, 3), np.float32)
        told = client.step_many("m", [str(row) for row in range(rows)], x)
    assert told.ok.tolist() == [True] * 100 + [False]
    assert isinstance(told.errors[100], ConnectionLost)
    assert told.status[100] == 0
