"""`carousel-export import`: what its flags say."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from carousel.export.command.factory import InvalidValue
from carousel.export.importer import import_model
from carousel.export.options import Context, Stated, Value
from carousel.models.repository import Repository
from carousel.models.spec import BATCH, TIME, Axis, Dtype

_T = TypeVar("_T")
_AXIS = re.compile(r"(?P<size>[1-9]\d*)|batch(\*(?P<fold>[1-9]\d*))?|time")

_EXAMPLES = """\
examples:
  carousel-export import silero_vad.onnx --name silero-vad --model-repository model-repository \\
      --constant sr=16000 --context input=64 --input input:float32:batch,576
  carousel-export import silero_vad.jit --name silero-vad --model-repository model-repository \\
      --submodule _model --context x=64 --input x:float32:batch,576 \\
      --input state:float32:2,batch,128

Axes, states and the pairs of old and new state are found by running the model, and what was found
is printed. A flag decides where the file leaves a doubt; inputs and outputs are named as the file
has them, those of TorchScript after forward's parameters, and output or output_0, output_1, ...
"""


_FLAGS = (
    ("--input", "NAME:DTYPE:AXES", "axes as the model sees them, such as x:float32:batch,576"),
    ("--constant", "NAME=VALUE", "an input that clients never send, such as sr=16000"),
    (
        "--context",
        "NAME=SAMPLES",
        "samples kept in front of each new input (NAME=SAMPLES@AXIS)",
    ),
    ("--state", "IN=OUT", "a state, and the output that is its new value"),
    ("--fixed", "NAME", "a state that is set when a session opens and never changes"),
    ("--sent", "NAME", "an input that clients send, though it is called a state"),
    ("--output", "NAME", "an output to serve; all that are no states, if none is named"),
    ("--range", "NAME=LOW..HIGH", "the lowest and the highest id of an integer input"),
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `import`."""
    parser.add_argument("file", metavar="FILE", help="a model in ONNX or TorchScript")
    parser.add_argument("--name", required=True, help="the model's name in the repository")
    parser.add_argument(
        "--model-repository", required=True, metavar="DIR", help="the folder to write to"
    )
    for flag, metavar, text in _FLAGS:
        parser.add_argument(flag, action="append", default=[], metavar=metavar, help=text)
    parser.add_argument(
        "--initial", metavar="FILE", help="first values of states, safetensors, as one session has"
    )
    parser.add_argument(
        "--submodule", metavar="PATH", help="the part of a TorchScript file to call"
    )
    parser.add_argument(
        "--tolerance", metavar="NUMBER", help="the largest error, as a part of the largest value"
    )
    parser.add_argument("--no-batch", action="store_true", help="run rows one by one")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless something fails")
    parser.epilog = _EXAMPLES


def run(options: argparse.Namespace) -> None:
    """Import what the flags name; raises InvalidValue where one cannot be read."""
    import_model(
        options.file,
        name=options.name,
        repository=Repository(Path(options.model_repository)),
        shapes=_all("--input", options.input, _stated),
        constants=_all("--constant", options.constant, _constant),
        contexts=_all("--context", options.context, _context),
        states=_all("--state", options.state, _pair),
        fixed=options.fixed,
        sent=options.sent,
        outputs=options.output,
        initial=None if options.initial is None else _initial(Path(options.initial)),
        ranges=_all("--range", options.range, _range),
        submodule=options.submodule,
        batch=not options.no_batch,
        tolerance=None if options.tolerance is None else _tolerance(options.tolerance),
        quiet=options.quiet,
    )


def _all(
    flag: str, texts: Sequence[str], read: Callable[[str], tuple[str, _T] | None]
) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for text in texts:
        pair = read(text)
        if pair is None or not pair[0]:
            raise InvalidValue(f"{flag}: {text!r} cannot be read; see --help")
        if pair[0] in found:
            raise InvalidValue(f"{flag}: {pair[0]!r} is named twice")
        found[pair[0]] = pair[1]
    return found


def _pair(text: str) -> tuple[str, str] | None:
    name, _, value = text.partition("=")
    return (name, value) if value else None


def _stated(text: str) -> tuple[str, Stated] | None:
    if text.count(":") < 2:
        return None
    name, dtype, axes = text.rsplit(":", 2)
    if dtype not in get_args(Dtype):
        raise InvalidValue(f"--input: {dtype!r} is not one of {', '.join(get_args(Dtype))}")
    found = [_AXIS.fullmatch(each.strip()) for each in axes.split(",") if each.strip()]
    if any(each is None for each in found):
        raise InvalidValue(f"--input: {axes!r} are no axes, such as 2,batch,128 or batch*33,time")
    sizes = [each for each in found if each is not None]
    folds = [int(each["fold"]) for each in sizes if each["fold"]]
    known: Any = dtype
    return name, Stated(known, tuple(map(_axis, sizes)), folds[0] if folds else 1)


def _axis(found: re.Match[str]) -> Axis:
    if found["size"]:
        return int(found["size"])
    return TIME if found[0] == TIME else BATCH


def _constant(text: str) -> tuple[str, Value] | None:
    name, _, value = text.partition("=")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return None


def _tolerance(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidValue(f"--tolerance: {text!r} is no number") from None


def _context(text: str) -> tuple[str, Context] | None:
    found = re.fullmatch(r"(.+)=([1-9]\d*)(@(\d+))?", text)
    if found is None:
        return None
    return found[1], Context(int(found[2]), None if found[4] is None else int(found[4]))


def _range(text: str) -> tuple[str, tuple[int, int]] | None:
    found = re.fullmatch(r"(.+)=(-?\d+)\.\.(-?\d+)", text)
    if found is None or int(found[2]) > int(found[3]):
        return None
    return found[1], (int(found[2]), int(found[3]))


def _initial(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise InvalidValue(f"--initial: {path} cannot be read ({error.strerror})") from None
    except SafetensorError as error:
        raise InvalidValue(f"--initial: {path} is no safetensors file: {error}") from None
