"""Trained module, or a file that others exported -> artifact."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.exporter import export_model
    from export.importing.importer import import_model

__all__ = ["export_model", "import_model"]

_HOMES = {"export_model": "export.exporter", "import_model": "export.importing.importer"}


def __getattr__(name: str) -> Any:
    # Not before it is asked for: torch takes a second to import, and the command line, which lies
    # in this package too, answers Ctrl-C from its first line on.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
