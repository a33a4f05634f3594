"""Where in a forward a value is made: what tells one call of torch from another in every run."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import nn

_TORCH = str(Path(torch.__file__).parent)

Place = tuple[str, int, int, int]  # file, first line of the function, instruction, its module

# Torch's own way from a module's call to its forward, which a trace takes otherwise, and ours.
_FILES = (
    *("nn/modules/module.py", "overrides.py", "_jit_internal.py"),
    *("jit/_trace.py", "utils/_contextlib.py"),
)
_BETWEEN = {str(Path(_TORCH, each)) for each in _FILES} | {
    str(Path(__file__).with_name("scripted.py"))
}


class Site(NamedTuple):
    """A call of torch: the function, and the stack of the forward that calls it."""

    function: str
    places: tuple[Place, ...]


class Key(NamedTuple):
    """A value: made by the `occurrence`-th call at a site in a run, as its output number `place`.

    An input has its name for a site, a weight or another tensor of the module too.
    """

    site: Site
    occurrence: int = 0
    place: int = 0


def given(name: str) -> Key:
    """The key of an input."""
    return Key(Site("input", ((name, 0, 0, 0),)))


def held(name: str) -> Key:
    """The key of a tensor that the module has before it runs."""
    return Key(Site("held", ((name, 0, 0, 0),)))


def frames(end: CodeType) -> list[FrameType]:
    """The frames of the forward that called a mode, the innermost first, up to the code `end`."""
    found: list[FrameType] = []
    frame: FrameType | None = sys._getframe(2)  # behind the mode's own
    while frame is not None and frame.f_code is not end:
        if frame.f_code.co_filename not in _BETWEEN:
            found.append(frame)
        frame = frame.f_back
    return found


def site_of(function: str, stack: Iterable[FrameType]) -> Site:
    """The site of a call made from `stack`."""
    places: list[Place] = []
    for frame in stack:
        code = frame.f_code
        own = frame.f_locals.get("self") if code.co_varnames[:1] == ("self",) else None
        module = id(own) if isinstance(own, nn.Module) else 0
        places.append((code.co_filename, code.co_firstlineno, frame.f_lasti, module))
    return Site(function, tuple(places))


def name_of(tensor: torch.Tensor, stack: Iterable[FrameType]) -> str | None:
    """What the forward calls a tensor: a variable or an attribute, else an element of one."""
    own = [frame for frame in stack if not frame.f_code.co_filename.startswith(_TORCH)]
    named = [item for frame in own for item in _variables(frame)]
    for name, value in named:
        if value is tensor:
            return name
    for name, value in named:
        for key, each in _elements(value):
            if each is tensor:
                return f"{name}_{key}"
    return None


def _variables(frame: FrameType) -> Iterator[tuple[str, Any]]:
    """Those of a function, and the attributes of its module."""
    for name, value in frame.f_locals.items():
        if not name.startswith("."):  # of a comprehension
            yield name, value
    own = frame.f_locals.get("self")
    if isinstance(own, nn.Module):
        yield from vars(own).items()


def _elements(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()
