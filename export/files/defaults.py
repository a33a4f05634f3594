"""Inputs of an ONNX file that have a value inside it, and so need not be given."""

from collections.abc import Collection, Sequence

from carousel.export.errors import ExportRefused
from carousel.export.options import Options
from carousel.export.reading.names import may_be_state, pair_by_name


def check_defaults(names: Sequence[str], outputs: Sequence[str], options: Options) -> None:
    """Raise ExportRefused for a state among the inputs that have a value: nobody would give it.

    Older exporters list every weight as such an input; a state is one that a flag names, or whose
    name an output has as well.
    """
    paired = pair_by_name({name: outputs for name in names if may_be_state(name)})
    for name in names:
        if name in _named(options) or name in paired:
            raise ExportRefused(
                f"the input {name} has a value inside the file, which every run would start from",
                f"take {name} out of the file's initializers, so that it is an input as others are",
            )


def _named(options: Options) -> Collection[str]:
    return {
        *(*options.shapes, *options.constants, *options.contexts, *options.pairs),
        *(*options.fixed, *options.sent, *options.ranges),
    }
