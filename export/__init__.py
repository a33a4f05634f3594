"""Trained module -> artifact."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.exporter import export_model

__all__ = ["export_model"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: torch takes a second to import, and the command line, which lies
    # in this package too, answers Ctrl-C from its first line on.
    if name != "export_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from export.exporter import export_model

    return export_model
