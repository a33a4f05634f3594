"""What a runtime said of a run that failed, short enough to stand in a sentence of ours."""

import re

from carousel.export.errors import ExportRefused, first_line

_INTERPRETER = "The following operation failed in the TorchScript interpreter"
# ONNX Runtime's own frame around what went wrong: codes, the node, the file and line of its source.
_CODES = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NODE = re.compile(
    r"^Non-zero status code returned while running (?P<op>\w+) node\. "
    r"Name:'(?P<name>[^']*)' Status Message: "
)
_SOURCE = re.compile(r"^\S+\.(?:cc|h|cpp):\d+\s+(?:.*?\)(?: \[.*?\])?\s+)?")


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
    """What went wrong, without the frame that the runtime puts around it."""
    if isinstance(error, RunFailed):
        error = error.cause
    lines = [line for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith(_INTERPRETER):
        return first_line(RuntimeError(lines[-1].removeprefix("RuntimeError: ")))
    if not lines or not _CODES.match(lines[0]):
        return first_line(error)
    text = _CODES.sub("", lines[0]).removeprefix("Exception during initialization: ")
    node = _NODE.match(text)
    said = _SOURCE.sub("", _NODE.sub("", text)).strip() or "it gives no reason"
    if node is None:
        return first_line(RuntimeError(said))
    called = f" {node['name']!r}" if node["name"] else ""
    return first_line(RuntimeError(f"the operator {node['op']}{called}: {said}"))
