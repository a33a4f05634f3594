"""The picture of batches shows what the scheduler decides, and the file is what is drawn."""

from xml.etree import ElementTree

from benchmarks.batches import ARRIVALS, MAX_ROWS, PAGE, draw, simulate
from carousel.service.engine.loaded_model import LoadOptions


def test_file_is_what_the_command_draws() -> None:
    """docs/batches.svg is as `python -m benchmarks.batches` writes it, and is sound XML."""
    assert PAGE.read_text(encoding="utf-8") == draw()
    ElementTree.fromstring(draw())


def test_everything_that_arrives_runs() -> None:
    """Each session is run for as many time steps as it sent, in runs that are not too large."""
    runs = simulate()
    sent: dict[str, int] = {}
    for arrived in ARRIVALS:
        for session, num_steps in arrived.items():
            sent[session] = sent.get(session, 0) + num_steps
    assert {each.session: each.end for run in runs for each in run.pieces} == sent
    assert max(len(run.pieces) for run in runs) == MAX_ROWS


def test_no_session_sends_before_its_reply() -> None:
    """What a session sends comes after the last time step that it sent has run."""
    waiting: set[str] = set()
    left = dict.fromkeys("ABCDEF", 0)
    for run, arrived in zip(simulate(), ARRIVALS, strict=True):
        assert not waiting & set(arrived)
        for session, num_steps in arrived.items():
            waiting.add(session)
            left[session] += num_steps
        for piece in run.pieces:
            left[piece.session] -= piece.end - piece.start
        waiting -= {session for session, num_steps in left.items() if num_steps == 0}


def test_printed_limit_is_the_service_s() -> None:
    """The picture names how many rows a run of the service has at most."""
    assert f"and {LoadOptions().max_batch} in the service" in draw()
