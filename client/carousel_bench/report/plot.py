"""A plot of lines as SVG, whose colours are the page's, so that it reads on light and on dark."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

_WIDTH, _HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 14, 46
_LEGEND = 20
_NUM_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """Points from left to right; y above 0 on a logarithmic axis."""

    name: str
    points: Sequence["Point"]


@dataclass(frozen=True, slots=True)
class Point:
    """A value; `is_bad` is drawn hollow."""

    x: float
    y: float
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """`x_words`: what the axis says at 0, 1, 2 in place of numbers. `limit`: a value of y that is
    marked.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    is_log: bool = False
    x_words: Sequence[str] = field(default=())
    limit: float | None = None

    def svg(self) -> str:
        """The picture; lines are told apart by colour and by dashes."""
        return "\n".join(self._draw())

    def _draw(self) -> Iterator[str]:
        points = [point for line in self.lines for point in line.points]
        if not points:
            yield "<p>Nothing was measured.</p>"
            return
        ys = [each.y for each in points] + ([] if self.limit is None else [self.limit])
        x_axis = Axis(0 if self.x_words else min(each.x for each in points),
                      len(self.x_words) - 1 if self.x_words else max(each.x for each in points),
                      _LEFT, _WIDTH - _RIGHT)  # fmt: skip
        low = min(ys) if self.is_log else 0.0
        y_axis = Axis(low, max(ys), _HEIGHT - _BOTTOM, _TOP, is_log=self.is_log)
        height = _HEIGHT + _LEGEND * len(self.lines)
        yield f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(self.title)}">'
        yield from self._grid(x_axis, y_axis)
        for number, line in enumerate(self.lines):
            yield from _line(line, number, x_axis, y_axis)
        yield "</svg>"

    def _grid(self, x_axis: "Axis", y_axis: "Axis") -> Iterator[str]:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for value in y_axis.ticks():
            y = y_axis.at(value)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
            yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>'
        named = {float(at): word for at, word in enumerate(self.x_words)}
        for at, word in (named or {each: f"{each:,g}" for each in x_axis.ticks()}).items():
            place = f'x="{x_axis.at(at):.1f}" y="{bottom + 18}" text-anchor="middle"'
            yield f"<text {place}>{escape(word)}</text>"
        if self.limit is not None:
            y = y_axis.at(self.limit)
            yield f'<path class="limit" d="M{_LEFT} {y:.1f}H{right}"/>'
            yield f'<text x="{right}" y="{y - 5:.1f}" text-anchor="end">{self.limit:,g}</text>'
        middle = (_TOP + bottom) // 2
        place = f'x="{(_LEFT + right) // 2}" y="{bottom + 38}" text-anchor="middle"'
        yield f"<text {place}>{escape(self.x_label)}</text>"
        turned = f'transform="rotate(-90 14 {middle})" text-anchor="middle"'
        yield f'<text x="14" y="{middle}" {turned}>{escape(self.y_label)}</text>'


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to places: `low` is drawn at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        low, high, value = (self._scaled(each) for each in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        if self.is_log:
            exponents = range(
                math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1
            )
            found = [digit * 10.0**each for each in exponents for digit in (1, 2, 5)]
        else:
            step = _round_up((self.high - self.low) / _NUM_TICKS or 1.0)
            first = math.ceil(self.low / step)
            found = [step * each for each in range(first, first + 2 * _NUM_TICKS)]
        return [float(f"{each:.6g}") for each in found if self.low <= each <= self.high]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 and so on."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * each for each in (1, 2, 5, 10) if unit * each >= value * 0.999)


def _line(line: Line, number: int, x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    kind = f"line line{number % 6}"
    places = " ".join(f"{x_axis.at(each.x):.1f},{y_axis.at(each.y):.1f}" for each in line.points)
    yield f'<polyline class="{kind}" points="{places}"/>'
    for each in line.points if len(line.points) <= 40 else ():
        bad = " bad" if each.is_bad else ""
        place = f'cx="{x_axis.at(each.x):.1f}" cy="{y_axis.at(each.y):.1f}" r="3.5"'
        told = escape(f"{line.name}: {each.x:,g}, {each.y:,.4g}")
        yield f'<circle class="{kind}{bad}" {place}><title>{told}</title></circle>'
    y = _HEIGHT + _LEGEND * number
    yield f'<path class="{kind}" d="M{_LEFT} {y}h34"/>'
    yield f'<text x="{_LEFT + 42}" y="{y + 4}">{escape(line.name)}</text>'
