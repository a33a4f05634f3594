"""`export_model`: from a trained module to an artifact in a repository."""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import nn

from carousel.export.progress import Progress
from carousel.export.prove import Wishes, prove
from carousel.export.replay import Replay
from carousel.export.table import print_table
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository, RepositoryError, check_model_name
from carousel.models.spec import Axis


def export_model(
    module: nn.Module,
    example_inputs: object,
    *,
    name: str,
    repository: Path | str | Repository,
    axes: Mapping[str, Sequence[Axis]] | None = None,
    output_names: Sequence[str] | None = None,
    states: Collection[str] | None = None,
    fixed: Collection[str] = (),
    ranges: Mapping[str, tuple[int, int]] | None = None,
    progress: Progress | None = None,
    quiet: bool = False,
) -> Artifact:
    """Export `module` as the next version of the model `name`; the module is left as it was.

    `example_inputs` is the tuple that `forward` takes (or a lone tensor). What is not said is
    measured: `axes`, sizes and the words `batch` and `time` for each input by name; `states`, the
    parameters of `forward` that are states; `ranges`, the lowest and highest id of token inputs.
    `output_names` names the outputs that are no states, in order. `fixed` are parameters that are
    states too, but set when a session opens and never changed (a decoder's encoder outputs): their
    sizes but for the batch are those of the example.

    Raises ExportRefused where the module cannot be served truthfully, with the way out;
    InvalidRequest where the arguments do not fit; RepositoryError where nothing can be written.
    """
    check_model_name(name)
    stated = {key: tuple(each) for key, each in (axes or {}).items()}
    wishes = Wishes(stated, output_names, states, fixed, ranges or {})
    target = repository if isinstance(repository, Repository) else Repository(Path(repository))
    _check_writable(target.root)
    with ExitStack() as stack:
        shown = progress or stack.enter_context(Progress(name, quiet=quiet))
        replay = stack.enter_context(Replay())
        proven = prove(module, example_inputs, name, wishes, shown)
        shown.stage("replaying the golden example in a fresh process")
        replay.check(proven.manifest, proven.files)
        artifact = target.add(proven.manifest, proven.files)
        print_table(artifact, shown)
        return artifact


def _check_writable(root: Path) -> None:
    """Raise RepositoryError now rather than after all the measuring."""
    standing = next(each for each in (root, *root.absolute().parents) if each.exists())
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        what = "not writable" if standing.is_dir() else "not a folder"
        raise RepositoryError(f"{root} cannot be written: {standing} is {what}")
