"""The Python client against a service over a socket: sessions, whole sequences, states."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from carousel_client import Client
from carousel_client.errors import (
    InvalidRequest,
    NonFiniteInput,
    OutOfRange,
    SessionExists,
    SessionNotFound,
    ShapeMismatch,
)
from tests.client.client_rig import F, Run, X, close, run_eager
from tests.harness.client import MODEL, numbers
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S

if TYPE_CHECKING:
    from tests.harness.served import Served

ATTENTION = {"Q": (1, 1, 32), "K": (1, 1, 32), "V": (1, 32, 64)}


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """A client of the service, without a key."""
    with Client(live.url, retry_s=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def whole(served: "dict[str, Served]") -> Run:
    """The eager LSTM over X."""
    return run_eager(served)


def test_steps_and_streams_equal_one_run(client: Client, whole: Run) -> None:
    """Whatever the pieces, and whichever way they go, the outputs are those of one eager run."""
    with client.session(MODEL) as session:
        parts = [session.step(X[:1]), session.step(X[1:5])]
        parts += session.stream(X[5:15, None])
        assert session.position == 15
        parts += session.stream([X[15:18], X[18:19].tolist(), X[19:]], ahead=1)
        assert session.position == 24
        close(np.concatenate(parts), whole.output)
        state = session.state()
    close(state["h"], whole.h)
    close(state["c"], whole.c)


def test_a_sequence_that_does_not_fit_is_named(client: Client) -> None:
    """Which of several it is; who gives one as a list is told what a list means."""
    with pytest.raises(ShapeMismatch, match=r"sequences\[1\]: .*\(24, 9\)"):
        client.infer(MODEL, [X, X[:, :9]])
    with pytest.raises(ShapeMismatch, match=r"sequences\[0\]: .*a list holds several sequences"):
        client.infer(MODEL, X.tolist())
    with pytest.raises(NonFiniteInput, match=r"sequences\[1\]: "):
        client.infer(MODEL, [X, np.full_like(X, np.nan)])


def test_infer_takes_one_sequence_or_several(client: Client, whole: Run) -> None:
    """An array gives an array, a list a list; states go in and come out in both forms."""
    close(client.infer(MODEL, X), whole.output)
    several = client.infer(MODEL, [X, X[:3], X[:1].tolist()])
    assert [each.shape for each in several] == [(24, 20), (3, 20), (1, 20)]
    close(several[0], whole.output)
    close(several[1], whole.output[:3])
    half = client.infer(MODEL, X[:9], return_state=True)
    close(half.outputs, whole.output[:9])
    close(client.infer(MODEL, X[9:], half.state), whole.output[9:])
    both = client.infer(MODEL, [X[9:], X[:9]], [half.state, None], return_state=True)
    close(both.outputs[0], whole.output[9:])
    close(both.outputs[1], whole.output[:9])
    close(both.state[0]["h"], whole.h)
    close(both.state[1]["c"], half.state["c"])


def test_arrays_that_come_back_are_the_callers_own(client: Client) -> None:
    """They can be written to, and have the model's dtype."""
    with client.session(MODEL) as session:
        for found in (session.step(X[:2]), *session.stream([X[2:4]]), client.infer(MODEL, X)):
            assert found.dtype == np.float32
            found += 1


def test_several_tensors_go_by_name(client: Client, served: "dict[str, Served]") -> None:
    """Inputs as an object of arrays, outputs likewise, also in a list."""
    import torch

    one = {name: numbers(*shape, seed=5) for name, shape in ATTENTION.items()}
    with torch.inference_mode():
        expected = served["attention"].module(*(torch.from_numpy(one[each]) for each in "QKV"))
    for found in (client.infer("attention", one), *client.infer("attention", [one, one])):
        assert found.keys() == {"output", "weights"}
        close(found["output"], np.reshape(expected[0].numpy(), found["output"].shape))
    with pytest.raises(InvalidRequest, match="expected Q, K, V"):
        client.infer("attention", {"Q": one["Q"]})


def test_token_ids_are_integers(client: Client, served: "dict[str, Served]") -> None:
    """A list of ids is [T]; what is no integer, and what is no token, is refused."""
    import torch

    ids = [3, 0, 10, 7]
    with torch.inference_mode():
        expected = served["tokens"].module(torch.tensor(ids)[:, None])[:, 0]  # (T, 5)
    with client.session("tokens") as session:
        found = [session.step(ids[:1]), session.step(np.array(ids[1:3], np.int32))]
        found += session.stream([[7]])
        close(np.concatenate(found), expected.numpy())
        with pytest.raises(OutOfRange) as caught:
            session.step([11])
        assert caught.value.status == 422
        assert caught.value.advanced is False
        with pytest.raises(InvalidRequest, match="float64 given; expected int64"):
            session.step([1.0])
        assert session.position == 4


def test_one_output_for_all_time_steps(client: Client, served: "dict[str, Served]") -> None:
    """A model that answers once has an output without a time axis."""
    import torch

    x = numbers(15, F, seed=2)
    with torch.inference_mode():
        expected = served["simple-lstm"].module(torch.from_numpy(x)[None])
    found = client.infer("simple-lstm", x)
    close(np.ravel(found), np.ravel(expected.numpy()))


def test_a_session_with_an_id_stays(client: Client) -> None:
    """Left as a context manager it stays; it can be attached to, is listed, and taken."""
    with client.session(MODEL, session_id="client-stays", ttl_s=60) as session:
        session.step(X[:4])
        life = session.info()
        assert (life.expires_at - life.last_used_at).total_seconds() == pytest.approx(60, abs=1)
    with client.attach("client-stays") as again:
        assert again.position == 4
        assert "client-stays" in [each.session_id for each in client.sessions(MODEL)]
        assert "client-stays" not in [each.session_id for each in client.sessions("tokens")]
        with pytest.raises(SessionExists):
            client.session(MODEL, session_id="client-stays")
    again.delete()
    with pytest.raises(SessionNotFound):
        client.attach("client-stays")


def test_a_session_without_an_id_is_deleted(client: Client) -> None:
    """At the end of `with`, also when it ends by an error, which is not covered up."""
    with client.session(MODEL) as session, session.fork() as fork:
        pass
    for each in (session, fork):
        with pytest.raises(SessionNotFound):
            client.attach(each.id)
    with pytest.raises(ZeroDivisionError), client.session(MODEL) as session:
        raise ZeroDivisionError
    with pytest.raises(SessionNotFound):
        client.attach(session.id)


def test_state_is_read_written_and_forked(client: Client, whole: Run) -> None:
    """A state goes into a new session, an old one, and along with a fork; reset starts anew."""
    with client.session(MODEL) as session:
        session.step(X[:9])
        state = session.state()
        with session.fork() as fork:
            close(fork.step(X[9:]), whole.output[9:])
            assert (fork.position, session.position) == (24, 9)
        with client.session(MODEL, state=state, position=9) as copy:
            close(copy.step(X[9:]), whole.output[9:])
            assert copy.position == 24
        close(session.step(X[9:]), whole.output[9:])
        session.set_state(state, 9)
        assert session.position == 9
        found = session.step(X[9:], return_state=True)
        close(found.outputs, whole.output[9:])
        close(found.state["h"], whole.h)
        assert (found.position, found.replayed) == (24, False)
        session.reset()
        assert session.position == 0
        close(session.step(X), whole.output)
        forks = session.forks(3)
        assert [each.position for each in forks] == [24] * 3
        for each in forks:
            each.close()


def test_a_look_moves_nothing(client: Client, whole: Run) -> None:
    """commit=False answers what the step would give."""
    with client.session(MODEL) as session:
        session.step(X[:5])
        look = session.step(X[5:], commit=False, return_state=True)
        close(look.outputs, whole.output[5:])
        close(look.state["c"], whole.c)
        assert session.position == 5
        close(session.step(X[5:]), whole.output[5:])


def test_models_say_what_they_take(client: Client) -> None:
    """Shapes as they are on the wire."""
    found = {each.name: each for each in client.models()}
    assert found[MODEL].inputs[0].shape == ("time", 10)
    assert found[MODEL].outputs[0].shape == ("time", 20)
    assert {each.name: each.shape for each in found[MODEL].states} == {"h": (2, 20), "c": (2, 20)}
    assert found["tokens"].inputs[0].shape == ("time",)
    assert (found["tokens"].inputs[0].low, found["tokens"].inputs[0].high) == (0, 10)
    assert {each.name: each.shape for each in found["attention"].inputs} == ATTENTION
    assert found["bilstm-10-20-2"].streaming == "none"
    assert client.model(MODEL, found[MODEL].version) == found[MODEL]
