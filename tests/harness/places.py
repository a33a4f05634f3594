"""Where a program can run: on this host, on a GPU, or on this host by the way to a GPU.

The last is `late`: the code that a GPU runs, batch sizes and all, over a link to the CPU that is as
late as one can be (`late_link.py`). Names are `onnx-late`, `torchscript-cuda` and so on, by which
`pytest -k cuda` finds what needs a device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import onnxruntime
import pytest
import torch

from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind
from carousel.models.row import RowLayout
from carousel.service.backends.base import Backend
from carousel.service.backends.choose import Place as BackendPlace
from carousel.service.backends.choose import in_buckets, with_context
from carousel.service.backends.onnx_device import OnnxDeviceBackend
from carousel.service.backends.torchscript import TorchScriptBackend
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions, load_model
from tests.harness.late_link import LateLink

Where = Literal["cpu", "late", "cuda"]


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of program, and where it runs."""

    kind: ProgramKind
    where: Where

    def __str__(self) -> str:
        return f"{self.kind}-{self.where}"

    def load(
        self,
        artifact: Artifact,
        *,
        max_batch: int = 256,
        resident_sessions: int = 1024,
        pool_bytes: int = 256 << 20,
        chunk_s: float = 0.005,
    ) -> LoadedModel:
        """The artifact, loaded there."""
        options = LoadOptions(
            program=self.kind,
            device="cuda" if self.where == "cuda" else "cpu",
            max_batch=max_batch,
            resident_sessions=resident_sessions,
            pool_bytes=pool_bytes,
            chunk_s=chunk_s,
            lanes=2,
        )
        if self.where == "late":
            return load_model(artifact, options, make_late)
        loaded = load_model(artifact, options)
        assert loaded.device == self.where
        return loaded


def make_late(
    artifact: Artifact, kind: ProgramKind, layout: RowLayout, place: BackendPlace
) -> Backend:
    """As `make_backend` does it for CUDA, over a late link to the CPU."""
    made = OnnxDeviceBackend if kind == "onnx" else TorchScriptBackend
    backend = made(artifact, layout, LateLink(), threads=place.threads)
    return in_buckets(artifact, with_context(artifact, backend), place)


def places(*where: Where, kinds: Sequence[ProgramKind] = ("onnx", "torchscript")) -> list[Any]:
    """Parameters of a test: these kinds of program at these places."""
    return [_parameter(Place(kind, each)) for each in where for kind in kinds]


def _parameter(place: Place) -> Any:
    return pytest.param(place, id=str(place), marks=missing(place))


def missing(place: Place) -> list[Any]:
    """Marks that skip a test where the place is not to be had."""
    if place.where != "cuda":
        return []
    provided = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return [
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        pytest.mark.skipif(
            place.kind == "onnx" and not provided, reason="needs ONNX Runtime's CUDA provider"
        ),
    ]
