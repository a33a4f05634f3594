"""A model's state graph as a picture: what goes in, what comes out, and what a session keeps.

```
inputs -> the model -> outputs
           |  ^
           v  |         a state: out of the model and back into it, the loop that a session keeps
          states        one arrow in alone: it never changes, or there is no session to keep it
```

States stand in columns below the model. Their arrows run beside the columns, those of the first
row next to its boxes and those of each further row one lane further out: none crosses a word.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from carousel.models.box import Box, width_of, xml
from carousel.models.manifest import Manifest
from carousel.models.report import Report, TensorLine
from carousel.models.spec import ModelSpec, StateSpec

_MARGIN, _GAP = 24, 24
_ARROW = 56  # from a column to the model, and from the model to the first row of states
_STUB, _LANE = 28, 12  # from a state to its first lane, and from lane to lane
_LEAST, _MOST, _MODEL = 26, 36, 76  # letters in a line

_PAINT = {
    "input": 'fill="#eaf2fb" stroke="#2f6299"',
    "model": 'fill="#fff7e0" stroke="#8a6510"',
    "output": 'fill="#e9f6ec" stroke="#2c7240"',
    "state": 'fill="#f4eefb" stroke="#6a3fa0"',
}
_FONT = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_HEAD = (
    '<defs><marker id="carousel-arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" '
    'markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
    '<path d="M0,0 L10,5 L0,10 z" fill="#333333" stroke="none"/></marker></defs>'
)


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the picture."""

    x: int
    y: int


Arrow = tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A box, what it is, and its arrows, each from its first point to its last."""

    kind: str
    box: Box
    arrows: tuple[Arrow, ...] = ()

    def svg(self) -> Iterator[str]:
        """The box in its colour, and the arrows."""
        yield f'<g class="{self.kind}" {_PAINT[self.kind]}>'
        yield from self.box.svg()
        for arrow in self.arrows:
            points = " ".join(f"{each.x},{each.y}" for each in arrow)
            ends = 'fill="none" marker-end="url(#carousel-arrow)"'
            yield f'<polyline class="arrow" points="{points}" {ends}/>'
        yield "</g>"


@dataclass(frozen=True, slots=True)
class Grid:
    """Where states stand: in columns of one width, with lanes for arrows on both sides of each."""

    width: int
    columns: int
    rows: int

    @classmethod
    def of(cls, number: int, width: int) -> "Grid":
        """Places for so many states of that width: three in a row, two where that comes out."""
        columns = 2 if number == 4 else min(number, 3)
        return cls(width, columns, -(-number // columns) if number else 0)

    @property
    def pitch(self) -> int:
        """A column and its lanes."""
        return self.width + 2 * (_STUB + self.rows * _LANE)

    def place(self, boxes: Sequence[Box], x: int, y: int) -> Iterator[tuple[Box, ...]]:
        """The boxes row by row, each row as high as its highest."""
        inset = (self.pitch - self.width) // 2
        for row in range(self.rows):
            here = boxes[row * self.columns : (row + 1) * self.columns]
            height = max(each.height for each in here)
            yield tuple(
                each.at(x + column * self.pitch + inset, y, height)
                for column, each in enumerate(here)
            )
            y += height + _GAP


def state_graph(manifest: Manifest) -> str:
    """The picture as SVG 1.1, a page of its own; the same manifest gives the same picture."""
    report, spec = Report.of(manifest, 1, Path()), manifest.spec
    inputs, outputs = _side(report.inputs), _side(report.outputs)
    states = _states(report.states, manifest)
    grid = Grid.of(len(states), _widest(states))
    model = _model(report, grid)
    tallest = max(model.height, _height(inputs), _height(outputs))
    model = model.at(_MARGIN + _widest(inputs) + _ARROW, _MARGIN, tallest)
    parts = (
        Part("model", model),
        *_inputs(inputs, model),
        *_outputs(outputs, model),
        *_kept(states, grid, model, spec),
    )
    return "\n".join(_page(report, parts, model.right + _ARROW + _widest(outputs))) + "\n"


def _page(report: Report, parts: Sequence[Part], right: int) -> Iterator[str]:
    width = right + _MARGIN
    height = max(part.box.bottom for part in parts) + _MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" role="img" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-family="{_FONT}" font-size="13" '
        'aria-labelledby="carousel-title carousel-told">'
    )
    yield f'<title id="carousel-title">{xml(f"The state graph of {report.name}")}</title>'
    yield f'<desc id="carousel-told">{xml(_told(report))}</desc>'
    yield _HEAD
    yield f'<rect class="page" width="{width}" height="{height}" fill="#ffffff"/>'
    for part in parts:
        yield from part.svg()
    yield "</svg>"


def _told(report: Report) -> str:
    """The picture for those who do not see it."""
    sides = (("Inputs", report.inputs), ("Outputs", report.outputs), ("States", report.states))
    told = [f"{side}: {', '.join(each.name for each in lines)}." for side, lines in sides if lines]
    return " ".join((*told, f"Streaming: {report.streams}."))


def _model(report: Report, grid: Grid) -> Box:
    said = (
        f"one step: {report.step}",
        f"streaming: {report.streams}",
        f"batches: {report.batches}",
        *(each.text for each in report.programs),
    )
    width = max(width_of((report.name, *said), _LEAST, _MODEL), grid.columns * grid.pitch)
    return Box.of(report.name, said, width)


def _side(lines: Sequence[TensorLine]) -> list[Box]:
    """Inputs or outputs."""
    return _column(lines, [(each.what,) for each in lines])


def _states(lines: Sequence[TensorLine], manifest: Manifest) -> list[Box]:
    spec, origins = manifest.spec, manifest.origins or {}
    lives = [_life(each, origins.get(each.name, "")) for each in spec.states]
    if not spec.is_streamable:
        lives = [(*each, "no session keeps it") for each in lives]
    return _column(lines, lives)


def _column(lines: Sequence[TensorLine], said: Sequence[tuple[str, ...]]) -> list[Box]:
    """Boxes of one width: that of the longest name, type or word."""
    words = [word for each in said for word in " ".join(each).split()]
    heads = [text for each in lines for text in (each.name, _type(each))]
    width = width_of((*words, *heads), _LEAST, _MOST)
    pairs = zip(lines, said, strict=True)
    return [Box.of(line.name, (_type(line), *each), width) for line, each in pairs]


def _life(state: StateSpec, origin: str) -> tuple[str, ...]:
    """Where a state comes from, where it starts, what becomes of it."""
    told = origin.split("; ")
    if "starts at" not in origin:
        given = "what is given" if state.is_required else "zeros"
        told.append(f"starts at {'the stored values' if state.has_initial else given}")
    if state.context_of is not None:
        return (*told, f"the last samples of {state.context_of}")
    return (*told, "never changes" if state.fixed else f"comes back as {state.output}")


def _type(line: TensorLine) -> str:
    return f"{line.dtype} ({', '.join(map(str, line.axes))})"


def _from_model(box: Box, bottom: int, lane: int) -> Arrow:
    """Down from the model, and into the box from the left."""
    x = box.x - lane
    return Point(x, bottom), Point(x, box.middle), Point(box.x, box.middle)


def _into_model(box: Box, bottom: int, lane: int) -> Arrow:
    """Out of the box to the right, and up to the model."""
    x = box.right + lane
    return Point(box.right, box.middle), Point(x, box.middle), Point(x, bottom)


def _inputs(boxes: Sequence[Box], model: Box) -> Iterator[Part]:
    for box in _stacked(boxes, _MARGIN, model):
        yield Part("input", box, (_across(box.right, model.x, box.middle),))


def _outputs(boxes: Sequence[Box], model: Box) -> Iterator[Part]:
    for box in _stacked(boxes, model.right + _ARROW, model):
        yield Part("output", box, (_across(model.right, box.x, box.middle),))


def _kept(boxes: Sequence[Box], grid: Grid, model: Box, spec: ModelSpec) -> Iterator[Part]:
    """The states below the model; those that a session steps have a loop."""
    left = model.x + (model.width - grid.columns * grid.pitch) // 2
    for row, here in enumerate(grid.place(boxes, left, model.bottom + _ARROW)):
        lane = _STUB + row * _LANE
        for box, state in zip(here, spec.states[row * grid.columns :], strict=False):
            back = _into_model(box, model.bottom, lane)
            if spec.is_streamable and not state.fixed:
                yield Part("state", box, (_from_model(box, model.bottom, lane), back))
            else:
                yield Part("state", box, (back,))


def _across(left: int, right: int, y: int) -> Arrow:
    return Point(left, y), Point(right, y)


def _stacked(boxes: Sequence[Box], x: int, model: Box) -> Iterator[Box]:
    """The boxes one under the other, beside the middle of the model."""
    y = model.y + (model.height - _height(boxes)) // 2
    for each in boxes:
        yield each.at(x, y)
        y += each.height + _GAP


def _height(boxes: Sequence[Box]) -> int:
    return sum(each.height + _GAP for each in boxes) - _GAP


def _widest(boxes: Sequence[Box]) -> int:
    return max((each.width for each in boxes), default=0)
