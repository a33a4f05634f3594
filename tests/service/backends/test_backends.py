"""Real programs in every layout, loaded from artifacts, run by the engine, beside eager torch."""

import asyncio
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from carousel.models.manifest import Manifest, ProgramKind
from carousel.models.repository import Repository
from carousel.models.row import RowLayout
from carousel.service.backends.base import BackendRefused, DeviceFailed
from carousel.service.backends.host_link import HostLink
from carousel.service.backends.linked_backend import LinkedBackend
from carousel.service.backends.on_device import on_device
from carousel.service.backends.onnx_device import OnnxDeviceBackend
from carousel.service.backends.torch_pool import TorchPool
from carousel.service.backends.torchscript import TorchScriptBackend
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.engine import Result
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions, load_model
from tests.harness.layouts import LAYOUTS, lstm, minus_infinity
from tests.harness.places import Place, places
from tests.harness.programs import Arrays, Case, close, random_inputs
from tests.harness.rig import play

KINDS: tuple[ProgramKind, ...] = ("onnx", "torchscript")
NO_PROVIDER = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="ONNX Runtime has its CUDA provider here",
)


def _load(tmp_path: Path, case: Case, options: LoadOptions) -> LoadedModel:
    manifest, files = case.artifact()
    return load_model(Repository(tmp_path).add(manifest, files), options)


async def _infer(
    loaded: LoadedModel, inputs: Arrays, num_steps: int, state: bytes | None
) -> Result:
    return await loaded.engine.infer(
        inputs, num_steps, deadline=time.monotonic() + 30, state=state, wants_state=True
    )


def _check_rows(loaded: LoadedModel, case: Case) -> None:
    """Twelve rows of mixed lengths at once, twice over, each beside the module alone on it."""

    async def scenario() -> None:
        rng = np.random.default_rng(5)
        loaded.engine.start()
        lengths = [1, 5, 40, 1, 7, 5, 6, 33, 2, 1, 38, 40] if _varies(case) else [1] * 12
        states: list[Arrays] = [case.start() for _ in lengths]
        rows: list[bytes | None] = [None] * len(lengths)
        for _ in range(2):
            inputs = [random_inputs(case.spec, rng, length) for length in lengths]
            found = await asyncio.gather(
                *map(_infer, [loaded] * len(lengths), inputs, lengths, rows)
            )
            for index, (length, result) in enumerate(zip(lengths, found, strict=True)):
                outputs, after = case.eager(inputs[index], length, states[index])
                close(result.outputs, outputs, 2e-5)
                if case.spec.states:
                    assert result.state is not None
                    close(
                        loaded.layout.unpack(result.state), after, 2e-3 if "half" in after else 2e-5
                    )
                    states[index], rows[index] = after, result.state
        await loaded.engine.stop()

    play(scenario)


def _varies(case: Case) -> bool:
    return case.spec.has_time or case.spec.is_framed


@pytest.mark.parametrize("place", places("cpu", "late", "cuda"))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_answers_as_the_module_does(layout: str, place: Place, tmp_path: Path) -> None:
    """Rows of strangers, chunked and batched, equal eager torch on each row alone, states too."""
    case = LAYOUTS[layout]()
    manifest, files = case.artifact()
    loaded = place.load(Repository(tmp_path).add(manifest, files), max_batch=8)
    _check_rows(loaded, case)


def test_rows_of_a_model_without_a_batch_axis_run_one_by_one(tmp_path: Path) -> None:
    """Its limit is one row a run, whatever the setting."""
    loaded = _load(tmp_path, LAYOUTS["no batch axis, initial"](), LoadOptions(max_batch=64))
    assert loaded.engine.core.scheduler.limits.max_rows == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_example_that_answers_otherwise_is_refused(
    kind: ProgramKind, tmp_path: Path
) -> None:
    """An expectation that is off by more than the tolerance, or NaN, keeps the model out."""
    for name, change in (("output.y", 1e-3), ("state_out.c", 1e-3), ("output.y", np.nan)):
        manifest, files = lstm().artifact()
        golden = load_safetensors(files["golden.safetensors"])
        golden[name] = golden[name] + np.float32(change)
        files["golden.safetensors"] = save_safetensors(golden)
        with pytest.raises(BackendRefused, match="golden example"):
            load_model(Repository(tmp_path).add(manifest, files), LoadOptions(program=kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "broken", ["no output", "a narrow input", "a narrow state", "fewer rows", "no input"]
)
def test_a_golden_example_that_does_not_fit_is_refused(
    broken: str, kind: ProgramKind, tmp_path: Path
) -> None:
    """Whatever is wrong with a file, the artifact is refused and the server starts without it."""
    manifest, files = lstm().artifact()
    golden = load_safetensors(files["golden.safetensors"])
    if broken == "no output":
        del golden["output.y"]
    elif broken == "no input":
        del golden["input.x"]
    elif broken == "a narrow input":
        golden["input.x"] = golden["input.x"][..., :2].copy()
    elif broken == "a narrow state":
        golden["state.h"] = golden["state.h"][..., :2].copy()
    else:
        golden["state.h"] = golden["state.h"][:, :1].copy()
    files["golden.safetensors"] = save_safetensors(golden)
    repository = Repository(tmp_path)
    repository.add(manifest, files)
    change = Catalog(repository, LoadOptions(program=kind)).load()
    assert change.added == []
    assert [each.name for each in change.refused] == ["tiny"]


def _refusal(tmp_path: Path, manifest: Manifest, files: dict[str, bytes], **options: str) -> str:
    repository = Repository(tmp_path)
    repository.add(manifest, files)
    change = Catalog(repository, LoadOptions(**options)).load()  # type: ignore[arg-type]
    assert change.added == []
    return change.refused[0].reason


def test_an_artifact_without_programs_is_refused(tmp_path: Path) -> None:
    """It is listed with its reason, and does not keep the server from starting."""
    manifest, files = lstm().artifact(kinds=())
    assert "program" in _refusal(tmp_path, manifest, files)


@NO_PROVIDER
def test_an_onnx_program_is_not_served_on_cuda_by_surprise(tmp_path: Path) -> None:
    """On CUDA an artifact that holds an ONNX program alone is refused, and told why."""
    manifest, files = lstm().artifact(kinds=("onnx",))
    assert "torchscript" in _refusal(tmp_path, manifest, files, device="cuda").lower()


@NO_PROVIDER
def test_a_model_says_the_device_that_it_runs_on(tmp_path: Path) -> None:
    """An ONNX program that was asked for on CUDA runs on the CPU where it cannot, and says so."""
    loaded = _load(tmp_path, lstm(), LoadOptions(program="onnx", device="cuda"))
    assert loaded.device == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_device_is_refused(tmp_path: Path) -> None:
    """A TorchScript program for a device that is not there is refused with the reason."""
    manifest, files = lstm().artifact(kinds=("torchscript",))
    assert _refusal(tmp_path, manifest, files, device="cuda")


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_is_none_is_refused(kind: ProgramKind, tmp_path: Path) -> None:
    """Bytes that are no program are refused by name."""
    manifest, files = lstm().artifact()
    file = manifest.programs[kind].file
    files[file] = b"not a program"
    assert file in _refusal(tmp_path, manifest, files, program=kind)


def test_a_program_with_other_names_is_refused(tmp_path: Path) -> None:
    """An ONNX program must have the manifest's inputs and outputs, all and no others."""
    manifest, files = lstm(ragged=True).artifact()
    _, others = lstm(ragged=False).artifact()
    files["model.onnx"] = others["model.onnx"]
    assert "lengths" in _refusal(tmp_path, manifest, files, program="onnx")


def test_only_exact_programs_get_rows_of_mixed_lengths(tmp_path: Path) -> None:
    """`ragged: exact` with lengths is what lets a run be padded; all else runs equal lengths."""
    exact = _load(tmp_path, lstm(ragged=True), LoadOptions())
    equal = _load(tmp_path, lstm(ragged=False), LoadOptions())
    assert exact.engine.core.scheduler.limits.mixed_lengths
    assert not equal.engine.core.scheduler.limits.mixed_lengths


def test_states_may_hold_infinities_where_the_spec_says_so(tmp_path: Path) -> None:
    """A cache filled with -inf is served, its golden example replayed, and no step refused."""
    case = minus_infinity()
    loaded = _load(tmp_path, case, LoadOptions())
    _check_rows(loaded, case)


class _Failing:
    """What raises an error as torch or ONNX Runtime would."""

    def __init__(self) -> None:
        self.link = HostLink("cpu")

    @on_device
    def copy(self, error: Exception) -> None:
        """Raise it."""
        raise error


@pytest.mark.parametrize(
    "told",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA failure 700: an illegal memory access was encountered ; GPU=0",
    ],
)
def test_a_device_that_is_lost_in_the_pool_is_lost(told: str) -> None:
    """CUDA reports a fault at whatever call comes next: a copy is no row's fault either."""
    with pytest.raises(DeviceFailed):
        _Failing().copy(RuntimeError(told))


@pytest.mark.parametrize(
    "told", ["CUDA out of memory. Tried to allocate 2 GiB", "CUDA failure 2: out of memory ; GPU=0"]
)
def test_a_device_that_is_full_is_not_lost(told: str) -> None:
    """The rows run again in halves, which may find room."""
    with pytest.raises(RuntimeError, match="out of memory"):
        _Failing().copy(RuntimeError(told))


@pytest.mark.parametrize("owner", [TorchPool, LinkedBackend, TorchScriptBackend, OnnxDeviceBackend])
def test_all_that_works_on_a_device_says_when_it_is_lost(owner: type) -> None:
    """No public method of a pool or backend is left out."""
    methods = {
        name: each
        for name, each in vars(owner).items()
        if callable(each) and not name.startswith("_") and name != "make_pool"
    }
    assert {name for name, each in methods.items() if not hasattr(each, "__wrapped__")} == set()
    assert methods.keys() & {"run", "scatter", "wait"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_gives_back_what_it_was_given(kind: ProgramKind, tmp_path: Path) -> None:
    """Rows of bytes through the pool and its model layout and back, for every layout of state."""
    rng = np.random.default_rng(0)
    for make in LAYOUTS.values():
        case = make()
        if not case.spec.states:
            continue
        loaded = _load(tmp_path, case, LoadOptions(program=kind))
        layout = RowLayout(case.spec.states)
        pool = loaded.engine.core._pool
        num_rows = 3 if case.spec.has_batch else 1
        rows = [
            layout.pack(
                {
                    each.name: rng.integers(0, 9, each.session_shape).astype(each.dtype)
                    for each in case.spec.states
                }
            )
            for _ in range(num_rows)
        ]
        for slot, row in enumerate(rows):
            pool.write(slot + 1, row)
        held = pool.gather(range(1, num_rows + 1))
        changing = [
            value
            for each, value in zip(case.spec.states, pool.unpack(held), strict=True)
            if not each.fixed
        ]
        blank = pool.gather([0] * num_rows)
        pool.scatter(list(range(4, 4 + num_rows)), pool.pack(changing, held))
        assert [row.tobytes() for row in pool.to_host(held, range(num_rows))] == rows
        assert pool.to_host(held, [num_rows - 1])[0].tobytes() == rows[-1]
        assert pool.finite(held).all()
        assert len(blank) == num_rows
