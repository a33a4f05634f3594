"""Two models to decode for: the witness, and one with every kind of tensor in it."""

from pathlib import Path

import numpy as np

from carousel.models.artifact import Artifact
from carousel.models.manifest import FORMAT, Manifest, Parity
from carousel.models.repository import Repository
from carousel.models.row import Array, RowLayout
from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.api.encoding.codec import Codec, Codecs
from carousel.service.api.v1.columnar.asked import ColumnLimits
from carousel.service.api.v1.columnar.columnar_request import ColumnReader
from carousel.service.engine.catalog import Catalog, CatalogUpdate
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions
from tests.harness.fakes import WITNESS
from tests.harness.rig import witness_engine

MAX_STEPS = 100

MIXED = ModelSpec(
    inputs=(
        InputSpec(name="ids", dtype="int64", axes=("batch", "time"), low=0, high=9),
        InputSpec(name="gate", dtype="bool", axes=("batch", "time", 2)),
        InputSpec(name="x", dtype="float16", axes=("batch", "time", 2, 3)),
        InputSpec(name="scale", dtype="float64", axes=("batch",)),
    ),
    outputs=(OutputSpec(name="output", dtype="float32", axes=("batch", "time", 2), per="step"),),
    states=(
        StateSpec(name="h", dtype="float32", axes=(2, "batch", 2), output="h_out", fold=2),
        StateSpec(name="n", dtype="int32", axes=("batch", 1), output="n_out", has_initial=True),
        StateSpec(name="memory", dtype="float32", axes=("batch", 3), output=None, fixed=True),
    ),
    streaming="step",
)


def model_of(spec: ModelSpec) -> LoadedModel:
    """It as a loaded model; nothing of it is on disk and nothing runs."""
    layout = RowLayout(spec.states)
    manifest = Manifest(
        format=FORMAT, name="m", created_at="2026-01-01T00:00:00Z", state_id="w", spec=spec,
        programs={}, parity=Parity(cases=()), golden="golden.safetensors", tools={}, files={},
    )  # fmt: skip
    artifact = Artifact(Path("nowhere"), 1, manifest)
    return LoadedModel(artifact, "onnx", "cpu", witness_engine(), bytes(layout.nbytes))


MODELS = (model_of(WITNESS), model_of(MIXED))
CODECS = tuple(Codec(each.spec, max_steps=MAX_STEPS) for each in MODELS)


def _reader(model: LoadedModel) -> ColumnReader:
    catalog = Catalog(Repository(Path("nowhere")), LoadOptions())
    catalog.publish(CatalogUpdate({model.name: {model.version: model}}, [], []))
    limits = ColumnLimits(max_rows=MAX_STEPS, max_steps=MAX_STEPS, max_ttl_s=3600.0)
    return ColumnReader(catalog, Codecs(max_steps=MAX_STEPS), limits)


# What reads columns for each of them.
READERS = tuple(map(_reader, MODELS))


def arrays_of(spec: ModelSpec, num_steps: int) -> dict[str, Array]:
    """Inputs that are right, by name, in wire layout."""
    found: dict[str, Array] = {}
    for each in spec.inputs:
        shape = tuple(axis if isinstance(axis, int) else num_steps for axis in each.wire_shape)
        found[each.name] = np.ones(shape, each.dtype)
    return found


def states_of(spec: ModelSpec) -> dict[str, Array]:
    """States that are right, by name."""
    return {each.name: np.ones(each.session_shape, each.dtype) for each in spec.states}
