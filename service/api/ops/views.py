"""What the probes answer: the schema's models."""

from typing import Literal

from pydantic import BaseModel


class RefusedView(BaseModel):
    """An artifact that was found and is not served."""

    model: str
    version: int
    reason: str


class Readiness(BaseModel):
    """Whether to send requests here; `reason` is why the store is unavailable, if it is."""

    status: Literal["ready", "loading", "draining", "store unavailable", "no model"]
    refused: list[RefusedView]
    reason: str | None = None


class Liveness(BaseModel):
    """Whether the process is of use; `failed` names models whose device is lost."""

    status: Literal["alive", "failed"]
    failed: list[str]
