"""Lines for the operator, on the terminal or into a pipe."""

import sys

from carousel.service.admin.failure import Failure, visible


def say(text: str) -> None:
    """A line of what was done."""
    sys.stdout.write(visible(text) + "\n")


def say_failure(failure: Failure | str) -> None:
    """A line of what was not."""
    # In order with what was said before, should both go into one file.
    sys.stdout.flush()
    sys.stderr.write(f"carousel-sessions: {visible(str(failure))}\n")
