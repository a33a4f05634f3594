"""Input context in the service: what is kept of one input stands in front of the next."""

import asyncio
import io
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from carousel.export.importer import import_model
from carousel.export.options import Context, Stated
from carousel.models.artifact import Artifact
from carousel.models.manifest import dump_manifest, is_altered
from carousel.models.repository import Repository
from carousel.models.row import Array
from carousel.service.backends.base import BackendRefused
from carousel.service.engine.loaded_model import LoadOptions, load_model
from tests.export.imported.foreign.models import ahead, tagger
from tests.export.imported.foreign.nets import Ahead
from tests.harness.places import Place, places
from tests.harness.rig import play

SCRIPTS = places("cpu", "late", "cuda", kinds=("torchscript",))


class Spoils(nn.Module):
    """One frame a call, four samples kept, and writes into what it is given."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 4 + 6), state (B, 6)."""
        state = 0.5 * state + x[:, 4:] - x[:, :4].sum(1, keepdim=True)
        x.zero_()
        return state * 2, state


class Frames(nn.Module):
    """Many frames a call, without a batch axis, each with two samples of the one before."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x (T, 2 + 3), state (3,)."""
        y = state + torch.cumsum(x[:, 2:] * x[:, :1] + x[:, 1:2], 0)
        return y, y[-1]


def script(module: nn.Module) -> bytes:
    """TorchScript of a module."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated TorchScript; the service's are not
        torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


def imported(
    tmp_path: Path, module: nn.Module, shapes: dict[str, Stated], context: int
) -> Artifact:
    """A module as TorchScript whose input x keeps context."""
    (tmp_path / "file").write_bytes(script(module))
    return import_model(
        tmp_path / "file",
        name="m",
        repository=tmp_path / "models",
        shapes=shapes,
        states={"state": "output_1"} if "state" in shapes else {},
        contexts={"x": Context(context)},
        quiet=True,
    )


def answered(artifact: Artifact, place: Place, sequences: list[Array]) -> list[Array]:
    """What callers are answered who send their sequences at once, in two pieces each."""
    loaded = place.load(artifact)
    found: list[Array] = []

    async def ask(x: Array, state: bytes | None) -> Any:
        return await loaded.engine.infer(
            {"x": x}, len(x), deadline=time.monotonic() + 30, state=state, wants_state=True
        )

    async def scenario() -> None:
        loaded.engine.start()
        first = await asyncio.gather(*(ask(each[:3], None) for each in sequences))
        rest = await asyncio.gather(
            *(ask(each[3:], done.state) for each, done in zip(sequences, first, strict=True))
        )
        for one, other in zip(first, rest, strict=True):
            (name,) = one.outputs
            found.append(np.concatenate([one.outputs[name], other.outputs[name]]))
        await loaded.engine.stop()

    play(scenario)
    return found


def sequences(*shape: int) -> list[Array]:
    """Four callers' sequences of different length."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((length, *shape)).astype(np.float32) for length in (4, 5, 9, 5)]


def check(found: list[Array], expected: list[Tensor]) -> None:
    """Equal within rounding."""
    for each, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.float32(each), wanted.numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("place", SCRIPTS)
def test_time_steps_stand_in_front(place: Place, tmp_path: Path) -> None:
    """A convolution over time is answered in pieces as it is in one, pieces shorter than it."""
    module = Ahead()
    artifact = imported(tmp_path, module, {"x": Stated("float32", ("batch", "time", 3))}, 3)
    given = sequences(3)
    with torch.no_grad():
        whole = [torch.from_numpy(np.concatenate([np.zeros((3, 3), "f"), x]))[None] for x in given]
        check(answered(artifact, place, given), [module(x)[0] for x in whole])


@pytest.mark.parametrize("place", SCRIPTS)
def test_samples_stand_in_front_of_each_frame(place: Place, tmp_path: Path) -> None:
    """Frame by frame; what the program writes into its input is not what is kept."""
    shapes = {"x": Stated("float32", ("batch", 10)), "state": Stated("float32", ("batch", 6))}
    artifact = imported(tmp_path, Spoils(), shapes, 4)
    given, expected = sequences(6), []
    for x in map(torch.from_numpy, given):
        kept, state, outputs = torch.zeros(4), torch.zeros(6), []
        for frame in x:
            state = 0.5 * state + frame - kept.sum()
            outputs.append(state * 2)
            kept = frame[-4:]
        expected.append(torch.stack(outputs))
    check(answered(artifact, place, given), expected)


@pytest.mark.parametrize("place", SCRIPTS)
def test_samples_stand_in_front_of_every_frame_of_a_run(place: Place, tmp_path: Path) -> None:
    """Many frames in one run: each has the end of the one before, the first what was kept."""
    shapes = {"x": Stated("float32", ("time", 5)), "state": Stated("float32", (3,))}
    artifact = imported(tmp_path, Frames(), shapes, 2)
    assert artifact.manifest.spec.inputs[0].axes == ("time", 3)
    given, expected = sequences(3), []
    for x in map(torch.from_numpy, given):
        before = torch.cat([torch.zeros(1, 2), x[:-1, -2:]])
        expected.append(torch.cumsum(x * before[:, :1] + before[:, 1:], 0))
    check(answered(artifact, place, given), expected)


def test_a_manifest_without_the_state_or_the_axis_is_refused(tmp_path: Path) -> None:
    """Whatever is wrong with a manifest, its model is refused by name."""
    path = ahead().write(tmp_path)
    artifact = import_model(path, name="m", repository=tmp_path, contexts={"x": 3}, quiet=True)
    manifest, spec = artifact.manifest, artifact.manifest.spec
    files = {file: artifact.read(file) for file in manifest.files}
    for broken in (
        replace(spec, inputs=(replace(spec.inputs[0], context_axis=None),)),
        replace(spec, inputs=(replace(spec.inputs[0], context_axis=7),)),
        replace(spec, inputs=(replace(spec.inputs[0], context=2),)),
        replace(spec, states=(replace(spec.states[0], context_of=None),)),
    ):
        changed = Repository(tmp_path).add(replace(manifest, spec=broken, sha256=None), files)
        with pytest.raises(BackendRefused, match=r"x keeps|the manifest's"):
            load_model(changed, LoadOptions())


def test_manifests_from_before_there_was_context_are_as_they_were(tmp_path: Path) -> None:
    """A field that says nothing is not written, so that older sums still hold."""
    artifact = import_model(tagger().write(tmp_path), name="m", repository=tmp_path, quiet=True)
    written = dump_manifest(artifact.manifest)
    assert b"context_of" not in written
    assert b"context_axis" not in written
    assert not is_altered(artifact.manifest)
