"""`import_model`: from a model that somebody else exported to an artifact in a repository."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from carousel.export import flags
from carousel.export.artifact import replay
from carousel.export.artifact.record import Proven, record
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.files.opener import open_program
from carousel.export.legacy import legacy_quiet
from carousel.export.measured.cases import FallsShort
from carousel.export.measured.parity import Meter
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import Reference
from carousel.export.module.determinism import generators_held
from carousel.export.options import Context, Options, Stated, Value
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.runtime import load_call
from carousel.export.progress import Progress
from carousel.export.reading.settle import Settler
from carousel.export.reading.subject import FileSubject
from carousel.export.threads import threads_for
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
    tolerance: float | None = None,
    progress: Progress | None = None,
    quiet: bool = False,
) -> Artifact:
    """Import an ONNX or TorchScript file as the next version of the model `name`.

    What is not said is found by running the model. Inputs are named as the file has them: `shapes`
    (dtype and axes as the model sees them), `constants`, `contexts` (samples kept in front of each
    new input), `states` (the output that each comes back as), `fixed` states, those that are `sent`
    whatever they are called. `outputs` are those to serve, `initial` first values of states in the
    shape of one session, `ranges` the lowest and highest id. `submodule` is the part of a
    TorchScript file to call; without `batch` rows run one by one. `tolerance` is the largest error
    that is taken, in proportion to the largest value.

    Raises ExportRefused where the file cannot be served truthfully, with the flag that decides;
    InvalidRequest where the arguments do not fit; RepositoryError where nothing can be written.
    """
    check_model_name(name)
    options = Options(
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
        tolerance=tolerance,
    )
    options.check_values()
    target = repository if isinstance(repository, Repository) else Repository(Path(repository))
    with ExitStack() as stack:
        shown = progress or stack.enter_context(Progress(name, quiet=quiet))
        stack.enter_context(legacy_quiet())
        stack.enter_context(threads_for(0))
        stack.enter_context(generators_held())
        return _import(Path(file), name, target, options, shown)


def _import(
    file: Path, name: str, repository: Repository, options: Options, progress: Progress
) -> Artifact:
    progress.stage("reading the file")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read ({error.strerror})") from None
    program = open_program(data, options)
    progress.stage("running it to find axes and states")
    subject = Settler(program, options).settle()
    for state in subject.spec.states:
        if state.name in options.ranges:
            raise InvalidRequest(f"--range: {state.name} is a state, which clients do not send")
    subject.spec = _finite(subject)
    progress.stage("proving the program as it will be served")
    proven = _prove(name, subject, progress)
    # What this process has registered may be what makes a script run.
    check = partial(replay.check, name) if program.kind == "torchscript" else None
    artifact = repository.add(proven.manifest, proven.files, check)
    progress.line(artifact.report().text())
    return artifact


def _prove(name: str, subject: FileSubject, progress: Progress) -> Proven:
    """The program as it will be served, measured; raises ExportRefused where it differs."""
    kind, spec = subject.program.kind, subject.spec
    data = subject.program.served(spec)
    lengths = subject.program.lengths
    call = load_call(kind, data, spec, lengths)
    candidate = Candidate(kind, data, Stepper(spec, call, lengths))
    reference = Reference(subject)
    try:
        measured = Meter(candidate, reference, progress.detail).measure()
    except FallsShort as error:
        reason = f"the program that would be served differs from the file: {error}"
        raise subject.refusal("parity", reason) from error
    subject.spec = measured.told(spec)
    notes = (*subject.notes, *reference.skipped)
    return record(name, subject, [(candidate, measured)], notes)


def _finite(subject: FileSubject) -> ModelSpec:
    """The spec with states that hold infinities named as such: caches may start at -inf."""
    batch = 1 if subject.spec.has_batch else 0
    given = subject.draw(batch, subject.time, 4)
    after = subject.run(given).states
    for each in subject.spec.states:
        if each.output is not None and bool(torch.isnan(after[each.name]).any()):
            raise ExportRefused(
                f"the state {each.name} does not stay a number: {each.output} holds NaN",
                f"say {flags.sent([each.name])} if clients send it",
            )
    return replace(
        subject.spec,
        states=tuple(
            replace(
                each,
                finite=bool(
                    torch.isfinite(given.states[each.name]).all()
                    & torch.isfinite(after[each.name]).all()
                ),
            )
            for each in subject.spec.states
        ),
    )
