"""A box of words in a picture: as wide as its words need, and never wider than it may be."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

CELL = 8  # the width of one letter of a font of fixed width, a little more than it takes
LINE = 18
PAD = 12
_MOST_LINES = 4  # of one sentence
_CUT = "\u2026"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as it is drawn, in lines, and in full."""

    lines: tuple[str, ...]
    full: str

    @classmethod
    def of(cls, text: str, cells: int, most: int = _MOST_LINES) -> "Sentence":
        """`text` in lines of at most `cells` letters; what is beyond `most` of them is cut."""
        full = " ".join(text.split())
        lines = list(_wrapped(full, cells)) if most > 1 else [_cut(full, cells)]
        if len(lines) > most:
            lines[most - 1 :] = [_cut(f"{lines[most - 1]} {_CUT}", cells)]
        return cls(tuple(lines), full)

    @property
    def is_cut(self) -> bool:
        """Whether some of it is not drawn."""
        return " ".join(self.lines) != self.full

    def svg(self, kind: str, x: int, y: int) -> Iterator[str]:
        """Its lines from `y` down; what was cut stands in full where the pointer rests."""
        weight = ' font-weight="bold"' if kind == "name" else ""
        yield f'<g class="{kind}" fill="#1a1a1a" stroke="none"{weight}>'
        if self.is_cut:
            yield f"<title>{xml(self.full)}</title>"
        for place, line in enumerate(self.lines):
            yield f'<text x="{x}" y="{y + place * LINE}">{xml(line)}</text>'
        yield "</g>"


@dataclass(frozen=True, slots=True)
class Box:
    """A name and what there is to say of it, at a place."""

    name: Sentence
    said: tuple[Sentence, ...]
    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of(cls, name: str, said: Sequence[str], width: int) -> "Box":
        """A box of that width, as high as its words, at no place yet."""
        cells = (width - 2 * PAD) // CELL
        title = Sentence.of(name, cells, most=1)
        rest = tuple(Sentence.of(each, cells) for each in said if each)
        box = cls(title, rest, 0, 0, width, 0)
        return box.at(0, 0, box.least_height)

    def at(self, x: int, y: int, height: int | None = None) -> "Box":
        """The same elsewhere, and as high as is said."""
        tall = self.height if height is None else height
        return Box(self.name, self.said, x, y, self.width, tall)

    @property
    def least_height(self) -> int:
        """What its words take."""
        return (1 + sum(len(each.lines) for each in self.said)) * LINE + 2 * PAD

    @property
    def right(self) -> int:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """Its lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> int:
        """Half way down."""
        return self.y + self.height // 2

    def svg(self) -> Iterator[str]:
        """A rectangle, and the words in the middle of its height."""
        place = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        yield f'<rect {place} rx="6"/>'
        x, y = self.x + PAD, self.middle - self.least_height // 2 + PAD + LINE - 5
        yield from self.name.svg("name", x, y)
        y += LINE
        for each in self.said:
            yield from each.svg("said", x, y)
            y += LINE * len(each.lines)


def xml(text: str) -> str:
    """The text as XML has it; a sign that XML cannot have is shown as one that is not known."""
    return escape(_NOT_XML.sub("\ufffd", text))


def width_of(texts: Sequence[str], least: int, most: int) -> int:
    """How wide a box of such lines is: as the longest, between `least` and `most` letters."""
    cells = max(map(_cells, texts), default=0)
    return min(max(cells, least), most) * CELL + 2 * PAD


def _cells(text: str) -> int:
    """How many places of a font of fixed width the text takes."""
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )


def _cut(text: str, cells: int) -> str:
    if _cells(text) <= cells:
        return text
    while _cells(text) >= cells:
        text = text[:-1]
    return f"{text.rstrip(f' {_CUT}')}{_CUT}"


def _wrapped(text: str, cells: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if line and _cells(joined) > cells:
            yield line
            joined = word
        line = _cut(joined, cells)
    yield line
