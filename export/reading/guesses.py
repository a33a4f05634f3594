"""Guesses at what the open axes of a foreign model are, the likeliest first; running decides.

Where an axis stands makes a guess likely, and never what it is called: one graph has one verdict.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from carousel.export.errors import InvalidRequest
from carousel.export.files.program import OPEN, Port
from carousel.export.measured.sampling import Axes
from carousel.export.options import Context, Options
from carousel.export.reading.names import may_be_state
from carousel.models.spec import BATCH, TIME, Axis

_MAX_GUESSES = 512
_MOST_FOLD = 1024  # of one state where no other is folded,
_MOST_FOLDS = 48  # and of two at once


@dataclass(frozen=True, slots=True)
class Guess:
    """Axes of every input that is no constant, as the model sees them.

    `folds` is 0 where it has yet to be found. `along` is the axis of each context. `pinned`: the
    axes that would have been `batch` are held at one row.
    """

    axes: Mapping[str, Axes]
    folds: Mapping[str, int]
    along: Mapping[str, int]
    pinned: bool = False

    @property
    def batch(self) -> bool:
        """Whether any axis is `batch`."""
        return any(BATCH in axes for axes in self.axes.values())

    @property
    def time(self) -> bool:
        """Whether any axis is `time`."""
        return any(TIME in axes for axes in self.axes.values())

    def pin(self) -> "Guess":
        """The same with one row instead of a batch axis."""
        axes = {
            name: tuple((self.folds[name] or 1) if axis == BATCH else axis for axis in each)
            for name, each in self.axes.items()
        }
        return replace(self, axes=axes, folds=dict.fromkeys(axes, 1), pinned=True)


def guesses(ports: Sequence[Port], options: Options) -> Iterator[Guess]:
    """Every way to read the open axes, the likeliest first; one alone where nothing is open."""
    variables = _variables(ports, options)
    choices = [_choices(name, places, options) for name, places in variables.items()]
    every = itertools.islice(itertools.product(*(list(enumerate(each)) for each in choices)), 65536)
    ranked = sorted(every, key=lambda choice: sum(rank for rank, _ in choice))
    tied = {axis for port in ports if not may_be_state(port.name) for axis in port.open_axes}
    given = 0
    for choice in ranked:
        roles = dict(zip(variables, (role for _, role in choice), strict=True))
        axes = {port.name: _read(port, roles) for port in ports}
        if given == _MAX_GUESSES:
            return
        if all(_once(each) for each in axes.values()):
            given += 1
            folds = {port.name: _fold(port, axes[port.name], tied) for port in ports}
            yield from _with_contexts(Guess(axes, folds, {}), options)


def _variables(ports: Sequence[Port], options: Options) -> dict[str, list[tuple[Port, int]]]:
    """Where each open axis stands; those of one name are one."""
    found: dict[str, list[tuple[Port, int]]] = {}
    for port in ports:
        for place, axis in enumerate(port.axes):
            if isinstance(axis, str) and axis.startswith(OPEN):
                found.setdefault(axis, []).append((port, place))
    return found


def _choices(name: str, places: Sequence[tuple[Port, int]], options: Options) -> list[Axis]:
    """What an open axis may be, the likeliest first."""
    if any(is_kept(port.name, options) for port, _ in places):
        return [BATCH]
    first = all(port.open_axes[0] == name for port, _ in places)
    return [BATCH, TIME] if first else [TIME, BATCH]


def folds_of(ports: Sequence[Port], unknown: Sequence[str]) -> Iterator[dict[str, int]]:
    """Folds to try: those that the names of axes tell, as in `batch_x33`; then one state's
    alone; then two at once.
    """
    ones = dict.fromkeys(unknown, 1)
    told = {
        port.name: int(each)
        for port in ports
        if port.name in unknown
        for axis in port.open_axes
        for each in re.findall(r"[1-9]\d*", axis.rpartition(".")[2])
    }
    yield ones | told
    for fold in range(2, _MOST_FOLD + 1):
        yield from (ones | {name: fold} for name in unknown)
    few = range(2, _MOST_FOLDS + 1)
    for (first, one), (second, other) in itertools.product(
        itertools.product(unknown, few), repeat=2
    ):
        if first < second:
            yield ones | {first: one, second: other}


def is_kept(name: str, options: Options) -> bool:
    """Whether an input is a state as far as flags and names tell: its axes are never `time`."""
    if name in options.pairs or name in options.fixed:
        return True
    return may_be_state(name) and name not in options.sent and name not in options.contexts


def _read(port: Port, roles: Mapping[str, Axis]) -> Axes:
    said: dict[str, Axis] = {BATCH: BATCH, TIME: TIME, **roles}
    return tuple(axis if isinstance(axis, int) else said[axis] for axis in port.axes)


def _once(axes: Axes) -> bool:
    return axes.count(BATCH) <= 1 and axes.count(TIME) <= 1


def _fold(port: Port, axes: Axes, tied: Collection[str]) -> int:
    """What the caller says; 1 where the axis is in `tied`, which inputs have that are no states; 0
    where running must tell.
    """
    if BATCH not in axes or port.axes[axes.index(BATCH)] == BATCH:
        return port.fold
    known = not may_be_state(port.name) or port.axes[axes.index(BATCH)] in tied
    return 1 if known else 0


def _with_contexts(guess: Guess, options: Options) -> Iterator[Guess]:
    """The guess with an axis for each context: that of time first, then the last that is longer."""
    places = [
        _places(name, guess.axes[name], context) for name, context in options.contexts.items()
    ]
    for choice in itertools.product(*places):
        yield replace(guess, along=dict(zip(options.contexts, choice, strict=True)))


def _places(name: str, axes: Axes, context: Context) -> list[int]:
    if context.axis is not None:
        if context.axis >= len(axes):
            raise InvalidRequest(f"--context: {name} has {len(axes)} axes {axes}")
        return [context.axis]
    longer = [
        place for place, axis in enumerate(axes) if isinstance(axis, int) and axis > context.samples
    ]
    return [*([axes.index(TIME)] if TIME in axes else []), *longer[-1:]]
