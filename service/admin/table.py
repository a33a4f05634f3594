"""A table for people: columns aligned, rows printed as they come."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from carousel.service.admin.failure import visible


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head, and whether it holds numbers, which stand to the right."""

    head: str
    right: bool = False


class Table:
    """Lays out rows page by page. A column only ever gets wider, so that a long list is printed
    while it comes, and its pages stand in line unless a later one needs more room.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._widths = [len(each.head) for each in columns]
        self._has_head = False

    def __repr__(self) -> str:
        return f"<Table {[each.head for each in self._columns]}>"

    def lines(self, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """The lines of a page, the first with the columns' heads before it."""
        page = [[visible(cell) for cell in row] for row in rows]
        for row in page:
            self._widths = [
                max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)
            ]
        if not self._has_head:
            page.insert(0, [each.head for each in self._columns])
            self._has_head = True
        return map(self._line, page)

    def _line(self, row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, width, cell in zip(self._columns, self._widths, row, strict=True)
        )
        return "  ".join(cells).rstrip() + "\n"


def shown_time(time: datetime) -> str:
    """To the second, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
