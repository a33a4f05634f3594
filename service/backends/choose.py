"""Which backend runs a program where: the one place that knows all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind
from carousel.models.row import RowLayout
from carousel.service.backends.base import Backend, BackendRefused, JoiningBackend
from carousel.service.backends.buckets import BucketedBackend
from carousel.service.backends.context import ContextBackend

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program runs, on how many cores of the host, and how many rows at most at a time."""

    device: Device
    threads: int
    max_rows: int


MakeBackend = Callable[[Artifact, ProgramKind, RowLayout, Place], Backend]


def device_for(kind: ProgramKind, wanted: Device) -> Device:
    """Where such a program runs: an ONNX program on CUDA only by a provider that is installed."""
    if kind != "onnx" or wanted == "cpu":
        return wanted
    import onnxruntime as ort

    return wanted if "CUDAExecutionProvider" in ort.get_available_providers() else "cpu"


def make_backend(artifact: Artifact, kind: ProgramKind, layout: RowLayout, place: Place) -> Backend:
    """A backend that runs this program there, in buckets of rows on CUDA.

    Raises ArtifactError for a file that differs, BackendRefused for a program that cannot be
    served.
    """
    # Each library not before it is needed: a service goes without those that it has no program for.
    if kind == "onnx" and place.device == "cpu":
        from carousel.service.backends.onnx import OnnxBackend

        return with_context(artifact, OnnxBackend(artifact, layout, threads=place.threads))
    try:
        from carousel.service.backends.host_link import HostLink
        from carousel.service.backends.onnx_device import OnnxDeviceBackend
        from carousel.service.backends.torchscript import TorchScriptBackend
    except ImportError:
        raise BackendRefused(f"its {kind} program needs torch, which is not installed") from None
    link = HostLink(place.device)
    made = OnnxDeviceBackend if kind == "onnx" else TorchScriptBackend
    backend = with_context(artifact, made(artifact, layout, link, threads=place.threads))
    return in_buckets(artifact, backend, place) if link.is_cuda else backend


def with_context(artifact: Artifact, backend: JoiningBackend) -> Backend:
    """The backend, with kept samples in front of its inputs where the model has any."""
    spec = artifact.manifest.spec
    return ContextBackend(backend, spec) if any(each.context for each in spec.inputs) else backend


def in_buckets(artifact: Artifact, backend: Backend, place: Place) -> Backend:
    """The backend, in batches of a few sizes where its model takes more than one row."""
    spec = artifact.manifest.spec
    return BucketedBackend(backend, spec, place.max_rows) if spec.has_batch else backend
