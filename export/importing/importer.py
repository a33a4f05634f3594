"""`import_model`: from a model that somebody else exported to an artifact in a repository."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from carousel.export.determinism import generators_held
from carousel.export.errors import InvalidRequest
from carousel.export.importing.checks import check_values
from carousel.export.importing.loading import load_call
from carousel.export.importing.opener import open_program
from carousel.export.importing.parity import Meter
from carousel.export.importing.program import Program
from carousel.export.importing.record import make_files, make_manifest
from carousel.export.importing.replay import check_alone
from carousel.export.importing.report import tell
from carousel.export.importing.settle import Settled, Settler
from carousel.export.importing.stepper import Stepper
from carousel.export.importing.wishes import Context, Stated, Value, Wishes
from carousel.export.legacy import legacy_quiet
from carousel.export.progress import Progress
from carousel.export.table import print_table
from carousel.export.threads import one_thread
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository, check_model_name
from carousel.models.spec import ModelSpec


def import_model(
    file: Path | str,
    *,
    name: str,
    repository: Path | str | Repository,
    shapes: Mapping[str, Stated] | None = None,
    constants: Mapping[str, Value] | None = None,
    contexts: Mapping[str, int | Context] | None = None,
    states: Mapping[str, str] | None = None,
    fixed: Collection[str] = (),
    sent: Collection[str] = (),
    outputs: Sequence[str] = (),
    initial: Mapping[str, torch.Tensor] | None = None,
    ranges: Mapping[str, tuple[int, int]] | None = None,
    submodule: str | None = None,
    batch: bool = True,
    progress: Progress | None = None,
    quiet: bool = False,
) -> Artifact:
    """Import an ONNX or TorchScript file as the next version of the model `name`.

    What is not said is found by running the model. Inputs are named as the file has them: `shapes`
    (dtype and axes as the model sees them), `constants`, `contexts` (samples kept in front of each
    new input), `states` (the output that each comes back as), `fixed` states, those that are `sent`
    whatever they are called. `outputs` are those to serve, `initial` first values of states in the
    shape of one session, `ranges` the lowest and highest id. `submodule` is the part of a
    TorchScript file to call; without `batch` rows run one by one.

    Raises ExportRefused where the file cannot be served truthfully, with the flag that decides;
    InvalidRequest where the arguments do not fit; RepositoryError where nothing can be written.
    """
    check_model_name(name)
    wishes = Wishes(
        shapes=shapes or {},
        constants=constants or {},
        contexts={
            key: Context(each) if isinstance(each, int) else each
            for key, each in (contexts or {}).items()
        },
        states=states or {},
        fixed=fixed,
        sent=sent,
        outputs=outputs,
        initial=initial or {},
        ranges=ranges or {},
        submodule=submodule,
        batch=batch,
    )
    check_values(wishes)
    target = repository if isinstance(repository, Repository) else Repository(Path(repository))
    with ExitStack() as stack:
        shown = progress or stack.enter_context(Progress(name, quiet=quiet))
        stack.enter_context(legacy_quiet())
        stack.enter_context(one_thread())
        stack.enter_context(generators_held())
        return _import(Path(file), name, target, wishes, shown)


def _import(
    file: Path, name: str, repository: Repository, wishes: Wishes, progress: Progress
) -> Artifact:
    progress.stage("reading the file")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read ({error.strerror})") from None
    program = open_program(data, wishes)
    progress.stage("running it to find axes and states")
    settled = Settler(program, wishes).settle()
    for state in settled.spec.states:
        if state.name in wishes.ranges:
            raise InvalidRequest(f"--range: {state.name} is a state, which clients do not send")
    tell(name, settled, progress)
    progress.stage("measuring the program as it will be served")
    artifact = _write(name, repository, program, settled, wishes)
    print_table(artifact, progress)
    return artifact


def _write(
    name: str, repository: Repository, program: Program, settled: Settled, wishes: Wishes
) -> Artifact:
    spec = _finite(settled)
    served = program.served(spec)
    stepper = Stepper(spec, load_call(program.kind, served, spec))
    measured = Meter(program.kind, settled, stepper).measure()
    spec = replace(spec, streaming=measured.streaming, streaming_reason=measured.reason)
    manifest = make_manifest(name, program, spec, measured, bool(wishes.initial))
    files = make_files(program, settled, spec, served, dict(wishes.initial))
    if program.kind == "torchscript":
        check_alone(manifest, files)
    return repository.add(manifest, files)


def _finite(settled: Settled) -> ModelSpec:
    """The spec with states that hold infinities named as such: caches may start at -inf."""
    spec, draws = settled.spec, settled.draws
    batch = 1 if spec.has_batch else 0
    states = {each.name: draws.start(each, each.fold, batch) for each in spec.states}
    after = settled.stepper.run(draws.inputs(spec, batch, settled.time, 4), states).states
    return replace(
        spec,
        states=tuple(
            replace(
                each,
                finite=bool(
                    torch.isfinite(states[each.name]).all() & torch.isfinite(after[each.name]).all()
                ),
            )
            for each in spec.states
        ),
    )
