"""The operator's tool: `carousel-sessions`, or `python -m carousel.service.admin`."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from carousel.service.admin.connection import connect
from carousel.service.admin.failure import Failure
from carousel.service.admin.flags import make_parser
from carousel.service.admin.remote import (
    delete_sessions,
    export_sessions,
    import_sessions,
    list_sessions,
    show_session,
)
from carousel.service.admin.say import say_failure
from carousel.service.admin.sessions import Sessions

_REMOTE = {
    "list": list_sessions,
    "show": show_session,
    "export": export_sessions,
    "import": import_sessions,
    "delete": delete_sessions,
}
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
    if options.verb in ("check", "vacuum"):
        # Whoever asks a service needs no SQLite.
        from carousel.service.admin.offline import check_file, vacuum_file

        return {"check": check_file, "vacuum": vacuum_file}[options.verb](options)
    with connect(options, os.environ) as client:
        return _REMOTE[options.verb](Sessions(client), options)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Leave as after any failure, so that no half-written file is left behind."""
    raise SystemExit(128 + number)
