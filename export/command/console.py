"""Command line: what the flags of `carousel-export` say, and what comes of it."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from carousel.export.command import checking, drawing, importing, values
from carousel.export.command.factory import Target, load_target, parse_input
from carousel.export.command.values import InvalidValue
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.exporter import export_model
from carousel.export.progress import Progress
from carousel.export.threads import threads_for
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository, RepositoryError, check_model_name
from carousel.models.zoo.catalog import REFERENCES

REFUSED = 1
BAD_VALUE = 3

_IMPORT, _CHECK, _INSPECT = "import", "check", "inspect"

_EXAMPLES = """\
examples:
  carousel-export --zoo all --model-repository model-repository
  carousel-export forecast.model:build --name forecaster --weights best.pt \\
      --input x=5,15,10 --model-repository model-repository
  carousel-export tagger:Tagger --name tagger --input tokens:int64=5,15 \\
      --model-repository model-repository
  carousel-export import --help        a model that was exported elsewhere, ONNX or TorchScript
  carousel-export inspect TARGET ...   what an export or an import would find; nothing is written
  carousel-export inspect TARGET ... --svg FILE   the same, and a picture of it
  carousel-export check --help         an artifact, proved again on this machine

The factory is called without arguments and returns the nn.Module. An input is named after the
parameter of forward; its sizes are those of an example, and which of them vary is measured.
Without --input the factory's module must offer them as the tuple `example_inputs`.
"""


_WRITE = (
    "nothing was written{}: the same without inspect{}, with --name and --model-repository, does"
)


class _Parser(argparse.ArgumentParser):
    """An argument parser that leaves with exit code 3 on a bad value."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(BAD_VALUE, f"{self.prog}: error: {message}\n")


def run(given: Sequence[str]) -> int:
    """Run `carousel-export`; 0 done, 1 an export was refused, 3 a bad value."""
    try:
        if given[:1] == [_INSPECT]:
            _inspect(given[1:])
        elif given[:1] == [_IMPORT]:
            options = _import_parser().parse_args(given[1:])
            _print(importing.run(options), options)
        elif given[:1] == [_CHECK]:
            checking.run(_check_parser().parse_args(given[1:]))
        else:
            _export(_parser().parse_args(given))
    except ExportRefused as error:
        return _fail(f"refused: {error}", REFUSED)
    except (InvalidValue, InvalidRequest, RepositoryError) as error:
        return _fail(str(error), BAD_VALUE)
    return 0


def _inspect(given: Sequence[str]) -> None:
    """What an export or an import of the same flags would find; nothing of it stays but a picture
    that was asked for.
    """
    foreign = _is_foreign(given)
    parser = _import_parser() if foreign else _parser()
    drawing.add_flags(parser)
    with tempfile.TemporaryDirectory(prefix="carousel-inspect-") as folder:
        name = [] if "--name" in given else ["--name", "model"]
        options = parser.parse_args([*given, *name, "--model-repository", folder])
        options.quiet = True
        if foreign:
            artifact = importing.run(options)
        else:
            artifact = _export_target(_target(options), options, Repository(Path(folder)))
        written = _WRITE.format("", "")
        if options.svg is not None:
            drawing.write(options.svg, artifact.manifest)
            written = _WRITE.format(f" but the picture in {options.svg}", " and --svg")
        report = replace(artifact.report(), next=written)
        sys.stdout.write(f"{report.json() if options.json else report.text()}\n")


def _is_foreign(given: Sequence[str]) -> bool:
    """Whether a file is to be looked at, and no module: files that flags name are not it."""
    parser = _Parser(prog=f"carousel-export {_INSPECT}", add_help=False)
    drawing.add_flags(parser)
    parser.add_argument("--weights")
    _, rest = parser.parse_known_args(given)
    return any(Path(each).is_file() for each in rest if not each.startswith("-"))


def _print(artifact: Artifact, options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(f"{artifact.report().json()}\n")


def _export(options: argparse.Namespace) -> None:
    repository = Repository(Path(options.model_repository))
    if options.zoo is not None:
        _export_zoo(options.zoo, repository, options.if_missing, options.quiet)
    else:
        _print(_export_target(_target(options), options, repository), options)


def _verb_parser(
    verb: str, description: str, add_flags: Callable[[argparse.ArgumentParser], None]
) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"carousel-export {verb}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    return parser


def _import_parser() -> argparse.ArgumentParser:
    description = "Import a model that was exported elsewhere, ONNX or TorchScript."
    return _verb_parser(_IMPORT, description, importing.add_flags)


def _check_parser() -> argparse.ArgumentParser:
    return _verb_parser(_CHECK, "Prove an artifact again on this machine.", checking.add_flags)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="carousel-export",
        description="Export a trained PyTorch module to a model repository, proven equal to it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_target(parser)
    parser.add_argument(
        "--model-repository", required=True, metavar="DIR", help="the folder to write to"
    )
    parser.add_argument(
        "--zoo", metavar="all|NAME", help=f"export reference models: all, {', '.join(REFERENCES)}"
    )
    parser.add_argument(
        "--if-missing", action="store_true", help="with --zoo: skip what the repository has"
    )
    importing.add_common(parser)
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    """What names one module of the user's own."""
    parser.add_argument(
        "factory",
        nargs="?",
        metavar="package.module:factory",
        help="what makes the module: a function or class, called without arguments",
    )
    parser.add_argument("--name", help="the model's name in the repository")
    parser.add_argument(
        "--weights", metavar="FILE", help="a state_dict to load, as torch.save wrote it"
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME[:DTYPE]=SIZES",
        help="an example input, such as x=5,15,10 or tokens:int64=5,15; repeat for several",
    )
    parser.add_argument(
        "--axes",
        action="append",
        default=[],
        metavar="NAME=AXES",
        help="sizes and the words batch and time, such as x=batch,time,10; measured if not given",
    )
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="NAME[=OUTPUT]",
        help="a parameter of forward that is a state, and what it comes back as (a key, a field or "
        "a place, 1 for the second); found by running if none is given; repeat for several",
    )
    parser.add_argument(
        "--no-states", action="store_true", help="no parameter of forward is a state"
    )
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="NAME=LOW..HIGH",
        help="the lowest and the highest value of an integer input; repeat for several",
    )
    parser.add_argument(
        "--fixed",
        action="append",
        default=[],
        metavar="NAME",
        help="a state that is set when a session opens and never changes; repeat for several",
    )


def _target(options: argparse.Namespace) -> Target:
    for flag, value in (("package.module:factory", options.factory), ("--name", options.name)):
        if value is None:
            raise InvalidValue(f"{flag} is missing (or give --zoo); see --help")
    check_model_name(options.name)
    inputs = [parse_input(text) for text in options.input]
    return load_target(options.factory, options.name, options.weights, inputs)


def _export_target(target: Target, options: argparse.Namespace, repository: Repository) -> Artifact:
    states = values.each("--state", options.state, values.state)
    if states and options.no_states:
        raise InvalidValue("--no-states: a state is named by --state")
    with Progress(target.name, quiet=options.quiet) as progress:
        return export_model(
            target.module,
            target.example,
            name=target.name,
            repository=repository,
            axes=values.each("--axes", options.axes, values.axes),
            states=None if not states and not options.no_states else states,
            fixed=options.fixed,
            ranges=values.each("--range", options.range, values.span),
            tolerance=options.tolerance,
            progress=progress,
        )


def _export_zoo(wanted: str, repository: Repository, if_missing: bool, quiet: bool) -> None:
    if wanted != "all" and wanted not in REFERENCES:
        raise InvalidValue(f"--zoo: {wanted!r} is not one of all, {', '.join(REFERENCES)}")
    for reference in REFERENCES.values() if wanted == "all" else [REFERENCES[wanted]]:
        if if_missing and repository.versions(reference.name):
            continue
        with Progress(reference.name, quiet=quiet) as progress, threads_for(0):
            export_model(
                reference.build(progress.stage),
                reference.example(),
                name=reference.name,
                repository=repository,
                axes=reference.axes,
                output_names=reference.output_names,
                fixed=reference.fixed,
                progress=progress,
            )


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"carousel-export: {message}\n")
    return code
