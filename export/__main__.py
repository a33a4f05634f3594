"""Command line: `carousel-export`, which answers Ctrl-C from its first line on."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

MISSING, INTERRUPTED = 3, 130

_NEEDED = ("torch", "onnx")  # of the extra that a host without PyTorch leaves out
_SENTENCE = (
    "carousel-export: {} is not installed. Way out: pip install 'carousel-serving[torch]', or the "
    "image of the target export\n"
)
_TEXT = "carousel-export: interrupted; what was not finished is not in the repository\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `carousel-export`; 0 done, 1 an export was refused, 3 a bad value, 130 Ctrl-C."""
    try:
        return _load()(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        sys.stderr.write(_TEXT)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.stderr.write(_SENTENCE.format(error.name))
        return MISSING


def _load() -> Callable[[Sequence[str]], int]:
    """Everything else: torch takes a second to import, and so nothing here imports it."""
    before = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    if not here or before is not signal.default_int_handler:
        from carousel.export.command.console import run

        return run
    # An exception would be lost in the compiled modules that import others, or come out as another.
    signal.signal(signal.SIGINT, _leave)
    try:
        from carousel.export.command.console import run
    finally:
        signal.signal(signal.SIGINT, before)
    return run


def _leave(number: int, frame: object) -> NoReturn:
    os.write(2, _TEXT.encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
