"""Carousel: recurrent networks exported from training and served with their hidden state."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carousel.export.exporter import export_model
    from carousel.export.importer import import_model

__all__ = ["export_model", "import_model"]

_HOMES = {
    "export_model": "carousel.export.exporter",
    "import_model": "carousel.export.importer",
}


def __getattr__(name: str) -> Any:
    # Not before it is asked for: torch takes a second to import, and a service that runs ONNX
    # alone starts without it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
