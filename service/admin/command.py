"""The operator's tool: `carousel-sessions`, or `python -m carousel.service.admin`."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from carousel.service.admin.failure import Failure
from carousel.service.admin.flags import make_parser
from carousel.service.admin.say import say_failure

_OF_FILES = ("check", "vacuum", "backup")
# As a shell counts what a signal ended.
_INTERRUPTED = 128 + signal.SIGINT
_PIPE_CLOSED = 128 + signal.SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; 0 done, 1 refused or damaged, 2 wrong usage, 3 cannot reach, 130 Ctrl-C."""
    signal.signal(signal.SIGTERM, _end)
    # The store's own warnings, such as that its file was cut short.
    logging.basicConfig(format="carousel-sessions: %(message)s", level=logging.WARNING)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except Failure as failure:
        say_failure(failure)
        return failure.exit_code
    except KeyboardInterrupt:
        say_failure("interrupted")
        return _INTERRUPTED
    except OSError as error:
        # What was said cannot be written, and what Python would still flush at its end neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _PIPE_CLOSED
        say_failure(f"the output cannot be written: {error.strerror}")
        return Failure.exit_code
    return code


def _run(arguments: Sequence[str] | None) -> int:
    options = make_parser().parse_args(arguments)
    # Whoever asks a service needs no SQLite, and a file no client.
    if options.verb in _OF_FILES:
        from carousel.service.admin.offline import run_offline

        return run_offline(options)
    try:
        from carousel.service.admin.remote import run_remote
    except ModuleNotFoundError as error:
        if error.name != "carousel_client":
            raise
        raise Failure(
            f"{options.verb} needs the Python client: pip install 'carousel-serving[sessions]', "
            "or pip install ./client in a checkout"
        ) from None
    return run_remote(options)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Leave as after any failure, so that no half-written file is left behind."""
    raise SystemExit(128 + number)
