"""What can go wrong in an export.

ExportError
├── InvalidRequest   the call itself is wrong: an example, a name, an axis
└── ExportRefused    the module cannot be served as it is; says why and the way out
    ├── NoProgram      no program of it answers as it does
    └── ForwardFailed  its own forward raised something
"""

_MAX_FOREIGN_TEXT = 160


class ExportError(Exception):
    """Base of all errors that an export raises by itself."""


class InvalidRequest(ExportError):
    """The arguments of the export do not fit the module: what, where, and what was expected."""


class ExportRefused(ExportError):
    """The module cannot be exported truthfully. Nothing was written.

    `reason` says what was found, `way_out` what to change so that the export succeeds.
    """

    def __init__(self, reason: str, way_out: str) -> None:
        super().__init__(f"{reason}. Way out: {way_out}.")
        self.reason = reason
        self.way_out = way_out


class MixesSessions(ExportRefused):
    """Sessions would get each other's states, whatever else is tried."""


class NoProgram(ExportRefused):
    """No program that was made of the module answers as it does."""


def first_line(error: BaseException) -> str:
    """The first line of somebody else's error, short enough to stand in one of ours."""
    text = (str(error).splitlines() or [""])[0]
    return text[:_MAX_FOREIGN_TEXT] or type(error).__name__


class ForwardFailed(ExportRefused):
    """What the user's own forward raised; a refusal where nobody expected that it might."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"forward fails: {told(cause)}",
            "let forward take every batch and length of inputs like those of the example",
        )
        self.cause = cause


def told(error: BaseException) -> str:
    """What the user's own code raised: the kind of error too, where its text is no sentence."""
    if isinstance(error, ForwardFailed):
        error = error.cause
    text = first_line(error)
    plain = isinstance(error, (RuntimeError, ValueError)) and " " in text
    return text if plain or text == type(error).__name__ else f"{type(error).__name__}: {text}"
