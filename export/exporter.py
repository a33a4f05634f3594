"""`export_model`: from a trained module to an artifact in a repository."""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from carousel.export.adapters.holder import module_of
from carousel.export.adapters.policy import called
from carousel.export.artifact import replay
from carousel.export.errors import InvalidRequest
from carousel.export.options import Options, Stated
from carousel.export.progress import Progress
from carousel.export.prove import prove
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository, RepositoryError, check_model_name
from carousel.models.spec import Axis


def export_model(
    module: object,
    example_inputs: object,
    *,
    name: str,
    repository: Path | str | Repository,
    axes: Mapping[str, Sequence[Axis]] | None = None,
    output_names: Sequence[str] | None = None,
    states: Collection[str] | Mapping[str, str | None] | None = None,
    fixed: Collection[str] = (),
    ranges: Mapping[str, tuple[int, int]] | None = None,
    tolerance: float | None = None,
    progress: Progress | None = None,
    quiet: bool = False,
) -> Artifact:
    """Export `module` as the next version of the model `name`; the module is left as it was.

    A library's object is taken for the module inside of it: a RecurrentPPO for its policy, a
    forecaster or learner for its network; what is chosen with it is said.

    `example_inputs` is the tuple that `forward` takes (or a lone tensor). What is not said is
    measured: `axes`, sizes and the words `batch` and `time` for each input by name; `states`, the
    parameters of `forward` that are states (a mapping says what each comes back as: the key or
    field, or the place, "1" for the second); `ranges`, the lowest and highest id of token inputs.
    `output_names` names the outputs that are no states, in order. `fixed` are parameters that are
    states too, but set when a session opens and never changed (a decoder's encoder outputs): their
    sizes but for the batch are those of the example. `tolerance` is the largest error that is
    taken, in proportion to the largest value; what the arithmetic allows, if it is not given.

    Raises ExportRefused where the module cannot be served truthfully, with the way out;
    InvalidRequest where the arguments do not fit; RepositoryError where nothing can be written.
    """
    check_model_name(name)
    if not isinstance(axes or {}, Mapping):
        raise InvalidRequest(f"axes: a dict of inputs and their axes is expected, not {axes!r}")
    options = Options(
        shapes={key: Stated(None, tuple(each)) for key, each in (axes or {}).items()},
        output_names=output_names,
        states=_paired(states),
        fixed=fixed,
        ranges=ranges or {},
        tolerance=tolerance,
    )
    target = repository if isinstance(repository, Repository) else Repository(Path(repository))
    _check_writable(target.root)
    with ExitStack() as stack:
        shown = progress or stack.enter_context(Progress(name, quiet=quiet))
        replay.prepare()
        held = module_of(module)
        call = called(held.module, example_inputs)
        proven = prove(held.module, call.example, name, options, shown)
        shown.stage("writing, and replaying the golden example in a fresh process")
        artifact = target.add(proven.manifest, proven.files, partial(replay.check, name))
        for note in (held.note, *call.notes):
            if note is not None:
                shown.line(f"{name}: {note}")
        shown.line(artifact.report().text())
        return artifact


def _paired(
    states: Collection[str] | Mapping[str, str | None] | None,
) -> dict[str, str | None] | None:
    """The states with the outputs that were named for them."""
    if isinstance(states, str):
        raise InvalidRequest(
            f"states: {states!r} is one name, and names are expected: [{states!r}]"
        )
    if isinstance(states, Mapping):
        return dict(states)
    return None if states is None else dict.fromkeys(states)


def _check_writable(root: Path) -> None:
    """Raise RepositoryError now rather than after all the measuring."""
    standing = next(each for each in (root, *root.absolute().parents) if each.exists())
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        what = "not writable" if standing.is_dir() else "not a folder"
        raise RepositoryError(f"{root} cannot be written: {standing} is {what}")
