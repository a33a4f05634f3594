"""What a runtime said of a run that failed, short enough to stand in a sentence of ours."""

from carousel.export.errors import ExportRefused, first_line

_INTERPRETER = "The following operation failed in the TorchScript interpreter"


class RunFailed(ExportRefused):
    """A run that the runtime gave up; a refusal where nobody expected that it might."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"the model fails with some values of its inputs: {fault(cause)}",
            "say which values its integers may have with --range, or send what is no stream state: "
            "--sent NAME",
        )
        self.cause = cause


def fault(error: BaseException) -> str:
    """The first line, or the last where TorchScript puts a trace of its code in front."""
    if isinstance(error, RunFailed):
        error = error.cause
    lines = [line for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith(_INTERPRETER):
        return first_line(RuntimeError(lines[-1].removeprefix("RuntimeError: ")))
    return first_line(error)
