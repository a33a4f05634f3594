"""Objects that libraries hand out, and the module inside of each: an algorithm holds a policy, a
forecaster a network. Known by the path of a class, so that no library is imported for it.
"""

from dataclasses import dataclass
from operator import attrgetter

from torch import nn

from carousel.export.errors import InvalidRequest

# The package of a class, and the attribute that is the module once it was trained.
_INSIDE = {
    "sb3_contrib": "policy",
    "stable_baselines3": "policy",
    "darts": "model",
    "fastai": "model",
    "tsai": "model",
    "gluonts": "prediction_net",
    "lightning": "lightning_module",
    "pytorch_lightning": "lightning_module",
}


@dataclass(frozen=True, slots=True)
class Held:
    """A module, and in words where it was, if it was inside of something."""

    module: nn.Module
    note: str | None = None


def module_of(thing: object) -> Held:
    """The module itself, or the one that a library's object holds; raises InvalidRequest."""
    if isinstance(thing, nn.Module):
        return Held(thing)
    kind = type(thing).__name__
    for package in (each.__module__.partition(".")[0] for each in type(thing).__mro__):
        if package not in _INSIDE:
            continue
        try:
            inside = attrgetter(_INSIDE[package])(thing)
        except Exception:  # an attribute that comes with training, or a property that says so
            inside = None
        if isinstance(inside, nn.Module):
            return Held(inside, f"{kind}: its {_INSIDE[package]} is exported")
        raise InvalidRequest(f"{kind} has no module in .{_INSIDE[package]} yet: train it first")
    raise InvalidRequest(f"an nn.Module is expected, not {kind}")
