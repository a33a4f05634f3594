"""Trained module -> artifact."""

from export.exporter import export_model

__all__ = ["export_model"]
