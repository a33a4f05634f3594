"""What a runtime said of a run that failed, short enough to stand in a sentence of ours."""

from export.errors import first_line

_INTERPRETER = "The following operation failed in the TorchScript interpreter"


def fault(error: BaseException) -> str:
    """The first line, or the last where TorchScript puts a trace of its code in front."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith(_INTERPRETER):
        return first_line(RuntimeError(lines[-1].removeprefix("RuntimeError: ")))
    return first_line(error)
