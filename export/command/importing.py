"""`carousel-export import`: what its flags say."""

import argparse
from pathlib import Path

from carousel.export.command import values
from carousel.export.importer import import_model
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository

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


def add_common(parser: argparse.ArgumentParser) -> None:
    """The flags that exports and imports share."""
    parser.add_argument(
        "--tolerance",
        type=values.tolerance,
        metavar="ERROR",
        help="the largest error that is taken, in proportion to the largest value",
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless something fails")


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
    parser.add_argument("--no-batch", action="store_true", help="run rows one by one")
    add_common(parser)
    parser.epilog = _EXAMPLES


def run(options: argparse.Namespace) -> Artifact:
    """Import what the flags name; raises InvalidValue where one cannot be read."""
    return import_model(
        options.file,
        name=options.name,
        repository=Repository(Path(options.model_repository)),
        shapes=values.each("--input", options.input, values.stated),
        constants=values.each("--constant", options.constant, values.constant),
        contexts=values.each("--context", options.context, values.context),
        states=values.each("--state", options.state, values.pair),
        fixed=options.fixed,
        sent=options.sent,
        outputs=options.output,
        initial=None if options.initial is None else values.initial(Path(options.initial)),
        ranges=values.each("--range", options.range, values.span),
        submodule=options.submodule,
        batch=not options.no_batch,
        tolerance=options.tolerance,
        quiet=options.quiet,
    )
