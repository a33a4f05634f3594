"""Flags of `carousel-export import` as refusals and notes print them, quoted for a shell."""

import shlex
from collections.abc import Iterable, Mapping


def sent(names: Iterable[str]) -> str:
    """Inputs that clients send."""
    return _each("--sent", names)


def fixed(name: str) -> str:
    """A state that never changes."""
    return _each("--fixed", [name])


def states(pairs: Mapping[str, str]) -> str:
    """States, and the outputs that they come back as."""
    return _each("--state", (f"{name}={output}" for name, output in pairs.items()))


def outputs(names: Iterable[str]) -> str:
    """Outputs that are served."""
    return _each("--output", names)


def axes(name: str, dtype: str, told: str) -> str:
    """The axes of an input."""
    text = f"{name}:{dtype}:{told}"
    return f"--input {text if shlex.quote(name) == name else shlex.quote(text)}"


def span(name: str, low: int | str = "LOW", high: int | str = "HIGH") -> str:
    """The values of an integer input."""
    return _each("--range", [f"{name}={low}..{high}"])


def constant(name: str) -> str:
    """An input that nobody sends."""
    return _each("--constant", [f"{name}=VALUE"])


def _each(flag: str, values: Iterable[str]) -> str:
    return " ".join(f"{flag} {shlex.quote(each)}" for each in values)
