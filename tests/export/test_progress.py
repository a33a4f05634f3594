"""Progress: one live line on a terminal, plain lines elsewhere, nothing when quiet."""

import io
import threading

import pytest

from carousel.export.progress import Progress

PATIENCE_S = 10


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and tells when it was first painted on."""

    def __init__(self) -> None:
        super().__init__()
        self.painted = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        self.painted.set()
        return written


def test_elsewhere_every_stage_is_a_plain_line() -> None:
    """A log holds no control characters."""
    stream = io.StringIO()
    with Progress("model", stream) as progress:
        progress.stage("tracing")
        progress.line("a result")
    assert stream.getvalue() == "model: tracing\na result\n"


def test_on_a_terminal_one_line_turns_and_is_wiped() -> None:
    """What stays on the screen are the results."""
    stream = Terminal()
    with Progress("model", stream) as progress:
        progress.stage("tracing")
        assert stream.painted.wait(PATIENCE_S)
        progress.line("a result")
    text = stream.getvalue()
    assert "model: " in text
    assert "\n" not in text.replace("a result\n", "")
    assert text.endswith("\r\x1b[2K")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_says_nothing(stream: io.StringIO) -> None:
    """Not even on a terminal."""
    with Progress("model", stream, quiet=True) as progress:
        progress.stage("tracing")
        progress.line("a result")
    assert stream.getvalue() == ""


def test_a_detail_is_part_of_the_live_line() -> None:
    """What is being proved now; the next stage begins without it."""
    stream = Terminal()
    with Progress("model", stream) as progress:
        progress.stage("proving")
        progress.detail("whole sequences at B=3 T=7")
        while "proving, whole sequences at B=3 T=7 " not in stream.getvalue():
            stream.painted.clear()
            assert stream.painted.wait(PATIENCE_S)
        progress.stage("writing")
        while "model: writing " not in stream.getvalue():
            stream.painted.clear()
            assert stream.painted.wait(PATIENCE_S)


def test_a_log_has_no_details() -> None:
    """A line a stage is what a log is for."""
    stream = io.StringIO()
    with Progress("model", stream) as progress:
        progress.stage("proving")
        progress.detail("whole sequences")
    assert stream.getvalue() == "model: proving\n"
