"""Whether what a Python call says about a foreign model can be meant at all, whatever the model.

The command line reads the same from text, and says of itself what it cannot read.
"""

from collections.abc import Mapping
from typing import get_args

import torch

from carousel.export.errors import InvalidRequest
from carousel.export.importing.wishes import Context, Stated, Wishes
from carousel.models.spec import BATCH, TIME, Dtype


def check_values(wishes: Wishes) -> None:
    """Raise InvalidRequest for a value that is none of its kind."""
    for flag, names in (
        ("--fixed", wishes.fixed),
        ("--sent", wishes.sent),
        ("--output", wishes.outputs),
    ):
        if isinstance(names, str):
            raise InvalidRequest(
                f"{flag}: {names!r} is one name, and names are expected: [{names!r}]"
            )
    for name, stated in wishes.shapes.items():
        _check_stated(name, stated)
    for name, context in wishes.contexts.items():
        _check_context(name, context)
    for name, span in wishes.ranges.items():
        if not (isinstance(span, tuple) and len(span) == 2 and all(map(_is_int, span))):
            raise InvalidRequest(f"--range: {name} needs two integers, not {span!r}")
        if span[0] > span[1]:
            raise InvalidRequest(f"--range: {name} has nothing between {span[0]} and {span[1]}")
    _check_kind("--constant", wishes.constants, (int, float, bool), "a number")
    _check_kind("--initial", wishes.initial, (torch.Tensor,), "a tensor")


def _check_stated(name: str, stated: object) -> None:
    if not isinstance(stated, Stated):
        raise InvalidRequest(f"--input: {name} needs a Stated, not {stated!r}")
    if stated.dtype not in get_args(Dtype):
        raise InvalidRequest(
            f"--input: {name}: {stated.dtype!r} is not one of {', '.join(get_args(Dtype))}"
        )
    words = [axis for axis in stated.axes if not _is_size(axis)]
    if any(words.count(axis) > 1 or axis not in (BATCH, TIME) for axis in words):
        raise InvalidRequest(
            f"--input: {name}: {stated.axes} are no axes: sizes from 1 on, {BATCH!r} once and "
            f"{TIME!r} once"
        )
    if not _is_size(stated.fold) or (stated.fold > 1 and BATCH not in stated.axes):
        raise InvalidRequest(
            f"--input: {name}: a fold of {stated.fold!r} is none: rows of {BATCH!r} a session, "
            "from 1 on"
        )


def _check_context(name: str, context: object) -> None:
    if not isinstance(context, Context) or not _is_size(context.samples):
        raise InvalidRequest(f"--context: {name} needs a number of samples from 1 on: {context!r}")
    if context.axis is not None and not (_is_int(context.axis) and context.axis >= 0):
        raise InvalidRequest(f"--context: {name} needs an axis from 0 on, not {context.axis!r}")


def _check_kind(
    flag: str, values: Mapping[str, object], kinds: tuple[type, ...], what: str
) -> None:
    for name, value in values.items():
        if not isinstance(value, kinds):
            raise InvalidRequest(f"{flag}: {name} needs {what}, not {value!r}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
