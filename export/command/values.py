"""What the values of flags say; each raises InvalidValue on what it cannot read."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from carousel.export.options import Context, Stated, Value
from carousel.models.spec import BATCH, TIME, Axis, Dtype

_T = TypeVar("_T")
_AXIS = re.compile(r"(?P<size>[1-9]\d*)|batch(\*(?P<fold>[1-9]\d*))?|time")


class InvalidValue(Exception):
    """A value on the command line that cannot be used; the message names the flag."""


def each(
    flag: str, texts: Sequence[str], read: Callable[[str], tuple[str, _T] | None]
) -> dict[str, _T]:
    """Each value of a flag that is given several times, by its name."""
    found: dict[str, _T] = {}
    for text in texts:
        pair = read(text)
        if pair is None or not pair[0]:
            raise InvalidValue(f"{flag}: {text!r} cannot be read; see --help")
        if pair[0] in found:
            raise InvalidValue(f"{flag}: {pair[0]!r} is named twice")
        found[pair[0]] = pair[1]
    return found


def pair(text: str) -> tuple[str, str] | None:
    """`h=hn`."""
    name, _, value = text.partition("=")
    return (name, value) if value else None


def stated(text: str) -> tuple[str, Stated] | None:
    """`x:float32:batch,576`."""
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


def constant(text: str) -> tuple[str, Value] | None:
    """`sr=16000`."""
    name, _, value = text.partition("=")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return None


def tolerance(text: str) -> float:
    """A number, of which the exporter says whether it can be meant."""
    try:
        return float(text)
    except ValueError:
        raise InvalidValue(f"--tolerance: {text!r} is not a number, such as 1e-4") from None


def context(text: str) -> tuple[str, Context] | None:
    """`x=64` or `x=64@1`."""
    found = re.fullmatch(r"(.+)=([1-9]\d*)(@(\d+))?", text)
    if found is None:
        return None
    return found[1], Context(int(found[2]), None if found[4] is None else int(found[4]))


def span(text: str) -> tuple[str, tuple[int, int]] | None:
    """`ids=0..99`."""
    found = re.fullmatch(r"(.+)=(-?\d+)\.\.(-?\d+)", text)
    if found is None or int(found[2]) > int(found[3]):
        return None
    return found[1], (int(found[2]), int(found[3]))


def initial(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file."""
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise InvalidValue(f"--initial: {path} cannot be read ({error.strerror})") from None
    except SafetensorError as error:
        raise InvalidValue(f"--initial: {path} is no safetensors file: {error}") from None


def axes(text: str) -> tuple[str, tuple[Axis, ...]]:
    """`x=batch,time,10`; any other word is told by whoever checks them all."""
    name, _, tail = text.partition("=")
    words = [each.strip() for each in tail.split(",") if each.strip()]
    if not name or not words:
        raise InvalidValue(f"--axes: {text!r} is not NAME=AXES, such as x=batch,time,10")
    found: list[Any] = [int(each) if each.isdecimal() else each for each in words]
    return name, tuple(found)


def state(text: str) -> tuple[str, str | None]:
    """`h`, or `h=1` with what it comes back as."""
    name, equals, output = text.partition("=")
    if not name or (equals and not output):
        raise InvalidValue(f"--state: {text!r} is not NAME or NAME=OUTPUT, such as h or h=1")
    return name, output or None
