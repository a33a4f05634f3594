"""One row of the settings' table: its names, its kind, its bounds, and how its text is read."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from carousel.service.errors import SettingError

PREFIX = "CAROUSEL_"

Value = str | int | float | bool | Path

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30}
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_BOOLS = {"1": True, "true": True, "yes": True, "on": True}
_BOOLS |= {"0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a setting may be, besides its kind. A `secret` is never a flag: command lines are
    public. `check` raises ValueError with words that may be shown. A `repeated` flag adds up, by
    comma.
    """

    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = math.inf
    secret: bool = False
    repeated: bool = False
    check: Callable[[str], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting: a flag of `carousel-serve` and an environment variable."""

    name: str
    default: Value
    meaning: str
    group: str
    bounds: Bounds

    @property
    def kind(self) -> type[Value]:
        """The type of its values."""
        return Path if isinstance(self.default, Path) else type(self.default)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """Its flag on the command line, empty for a secret."""
        return "" if self.bounds.secret else "--" + self.name.replace("_", "-")

    @property
    def is_bytes(self) -> bool:
        """Whether it is a size, and may be written as 64MB."""
        return self.name.endswith("_bytes")

    @property
    def shown_default(self) -> str:
        """The default as a person writes it."""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if self.is_bytes and isinstance(self.default, int):
            return _shown_bytes(self.default)
        return f"{self.default:.15g}" if isinstance(self.default, float) else str(self.default)

    def parse(self, text: str, source: str) -> Value:
        """The value that `text` says; raises SettingError, naming `source`, where it came from."""
        self._check(text.strip(), source)
        try:
            value = self._convert(text.strip())
        except (ValueError, OverflowError):
            raise SettingError(source, f"{text!r} is not {self.expected}") from None
        bounds = self.bounds
        is_choice = not bounds.choices or value in bounds.choices
        if not is_choice or (
            isinstance(value, int | float) and not bounds.low <= value <= bounds.high
        ):
            raise SettingError(source, f"{text!r} is not {self.expected}")
        return value

    @property
    def expected(self) -> str:
        """What its values are, in words."""
        if self.bounds.choices:
            return "one of " + ", ".join(self.bounds.choices)
        if self.kind is bool:
            return "on or off"
        if self.kind not in (int, float):
            return "a path" if self.kind is Path else "text"
        noun = "a whole number" if self.kind is int else "a number"
        noun = "a number of bytes, as 64MB," if self.is_bytes else noun
        above = "" if self.bounds.high == math.inf else f" to {self.bounds.high:.15g}"
        return f"{noun} from {self.bounds.low:.15g}{above}"

    def _check(self, text: str, source: str) -> None:
        if self.bounds.check is None:
            return
        try:
            self.bounds.check(text)
        except ValueError as error:
            raise SettingError(source, str(error)) from None

    def _convert(self, text: str) -> Value:
        if self.kind is bool:
            if text.lower() not in _BOOLS:
                raise ValueError(text)
            return _BOOLS[text.lower()]
        if self.is_bytes:
            return _parse_bytes(text)
        if self.kind is Path and not text:
            raise ValueError(text)
        value = self.kind(text)
        if value == math.inf:
            raise ValueError(text)
        return value


def _parse_bytes(text: str) -> int:
    match = _BYTES.fullmatch(text)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(text)
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _shown_bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count % size == 0:
            return f"{count // size}{unit}"
    return str(count)
