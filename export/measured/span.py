"""How many time steps a sequence may have: found where the sizes that were tried disagree."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from carousel.export.measured.subject import Reference

FAR = 5000  # steps: tables of positions and the like end before


@dataclass(frozen=True, slots=True)
class Span:
    """The fewest and the most time steps that are accepted; None where there is no such bound."""

    least: int | None = None
    most: int | None = None

    @classmethod
    def of(cls, reference: Reference, tried: Collection[int]) -> "Span":
        """From the lengths that were `tried`.

        What is accepted at two lengths is taken to be accepted between them.
        """
        accepted = {time for time in tried if reference.takes(time)}
        low, high = min(accepted), max(accepted)
        below = [time for time in tried if time < low]
        above = [time for time in tried if time > high]
        return cls(
            _edge(low, max(below), reference.takes) if below else None,
            _edge(high, min(above), reference.takes) if above else None,
        )

    def far(self, reference: Reference, longest: int, further: int) -> "Span":
        """With a sequence of `further` steps tried, unless the `longest` before was too long."""
        if self.most is not None or not reference.takes(longest) or reference.takes(further):
            return self
        return Span(self.least, _edge(longest, further, reference.takes))

    def ends(self) -> tuple[int, ...]:
        """The bounds that there are."""
        return tuple(each for each in (self.least, self.most) if each is not None)


def _edge(inside: int, outside: int, takes: Callable[[int], bool]) -> int:
    """The last length that is accepted, on the way from one that is to one that is not."""
    while abs(inside - outside) > 1:
        middle = (inside + outside) // 2
        if takes(middle):
            inside = middle
        else:
            outside = middle
    return inside
