"""`Target`: a decoder, valid inputs of it, and the errors it may answer others with."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from carousel.service.errors import CarouselError
from tests.harness.process import ROOT


class Broken(Exception):
    """What a decoder promises does not hold, though it raised nothing; a finding as well."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input with another outcome. `where` tells two faults apart."""

    target: str
    where: str
    what: str
    data: bytes

    def __str__(self) -> str:
        shown = self.data if len(self.data) <= 200 else self.data[:200] + b"..."
        return f"{self.target}: {self.what} at {self.where}: {len(self.data)} bytes, {shown!r}"


@dataclass(frozen=True, slots=True)
class Target:
    """`call` decodes. Any exception but `allowed` ones and CarouselErrors of a client is one too
    many.
    """

    name: str
    call: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    allowed: tuple[type[Exception], ...] = ()

    def attempt(self, data: bytes) -> Finding | None:
        """Decode, and what was wrong with the outcome."""
        try:
            self.call(data)
        except self.allowed:
            return None
        except CarouselError as error:
            return None if error.status < 500 else self._finding(error, data)
        except Exception as error:
            return self._finding(error, data)
        return None

    def _finding(self, error: Exception, data: bytes) -> Finding:
        frames = traceback.extract_tb(error.__traceback__)
        own = [each for each in frames if "/tests/" not in each.filename] or list(frames)
        place = Path(own[-1].filename)
        shown = place.relative_to(ROOT) if place.is_relative_to(ROOT) else place.name
        return Finding(
            self.name, f"{shown}:{own[-1].lineno}", f"{type(error).__name__}: {error}"[:300], data
        )
