"""Open axes at other sizes: what runs at several, no run can settle."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from carousel.export import flags
from carousel.export.errors import ExportRefused
from carousel.export.files.program import OPEN, Port
from carousel.export.measured.noise import Draws
from carousel.export.options import Options
from carousel.export.reading.fitting import Fitter
from carousel.export.reading.guesses import Guess, guesses, is_kept
from carousel.export.reading.names import may_be_fixed
from carousel.models.spec import BATCH, TIME, Axis

_FEW = (1, 2, 3, 5)
_MANY = (
    *(1, 2, 4, 8, 16, 32, 64, 80, 100, 128, 160, 200, 240, 256, 320, 400, 480, 512, 576, 640),
    *(800, 960, 1024, 1280, 1600, 2048, 3200, 4096),
)
_ROWS = 2
_TOGETHER = (2, 16)
_TIME = 4


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an open axis of an input stands."""

    port: Port
    axis: int


class Sizes:
    """Runs a guess with some of its axes at other sizes."""

    def __init__(self, fitter: Fitter, ports: Sequence[Port], options: Options) -> None:
        self._fitter = fitter
        self._ports = ports
        self._options = options

    def __repr__(self) -> str:
        return f"<Sizes {[each.name for each in self._ports]}>"

    def check(self, guess: Guess, draws: Draws, time: int, states: Collection[str]) -> None:
        """Raise ExportRefused for an axis of a state that runs at other sizes, all else as it is.

        An axis that an input has as well which is no state is as long as that.
        """
        tied = {each for port in self._ports if port.name not in states for each in port.open_axes}
        loose: dict[str, list[_Place]] = {}
        for port in self._ports:
            for axis, name in enumerate(port.axes):
                if name in port.open_axes and name not in tied:
                    loose.setdefault(str(name), []).append(_Place(port, axis))
        every = [place for places in loose.values() for place in places]
        for places in (*loose.values(), *([every] if len(loose) > 1 else [])):
            ran = list(self._other_sizes(guess, draws, time, places))
            if ran:
                raise self._unsettled(guess, places[0], ran)

    def runs_alone(self, guess: Guess) -> bool:
        """Whether the model runs at one row where it does not at two."""
        return guess.batch and self._runs(guess.pin())

    def runs_together(self, guess: Guess) -> bool:
        """Whether the model runs at two rows, or at more."""
        return any(self._runs(guess, rows=rows) for rows in _TOGETHER)

    def unreadable(self) -> ExportRefused:
        """The refusal of an input with more open axes than can be told apart."""
        port = max(self._ports, key=self._crowd)
        others = {each for own in self._ports if own is not port for each in own.open_axes}
        own = [each for each in dict.fromkeys(port.open_axes) if each not in others]
        sizes = list(self._alone(port, own)) if own else []
        ran = f"; it ran with {_named(own)} at {_listed(sizes)}" if sizes else ""
        axes = "AXES"
        if len(own) == 1 and sizes and len(port.open_axes) == 2:
            # What others have as well is the batch, and what is left has a size.
            axes = ",".join(
                "SIZE" if axis in own else BATCH if axis in port.open_axes else str(axis)
                for axis in port.axes
            )
        return ExportRefused(
            f"{port.name} leaves the axes {_named(dict.fromkeys(port.open_axes))} open, of which "
            f"one can be batch and one time, and none of a state time{ran}",
            f"say what they are: {flags.axes(port.name, port.dtype, axes)}",
        )

    def unread(self, guess: Guess, reason: str, instead: str = "") -> ExportRefused:
        """The refusal of the likeliest reading of the open axes; `reason` is why it fails, and
        `instead` what else may be said where its chunks have differed.
        """
        places = [_Place(port, axis) for port in self._ports for axis in _open_times(port, guess)]
        if not places:
            port = next(each for each in self._ports if each.open_axes)
            return ExportRefused(
                f"{port.name} leaves axes open ({_named(port.open_axes)}), and no reading of them "
                f"runs: {reason}",
                f"say what they are: {flags.axes(port.name, port.dtype, 'AXES')}",
            )
        port, axis = places[0].port, places[0].axis
        alike = [
            _Place(each, at)
            for each in self._ports
            for at, name in enumerate(each.axes)
            if name == port.axes[axis]
        ]
        sizes = [each for each in _MANY if self._runs(_sized(guess, alike, each), rows=1, time=1)]
        ran = f"it ran at {_listed(sizes)}" if sizes else "it ran at no size tried"
        said = list(map(str, guess.axes[port.name]))
        said[axis] = "SIZE"
        size = flags.axes(port.name, port.dtype, ",".join(said))
        return ExportRefused(
            f"the file leaves axis {axis} of {port.name} open, and nothing settles its size: "
            f"{ran}; as a time axis {reason}",
            f"{self._perhaps_fixed(port, guess, size)}say its size, context included: "
            f"{size}{instead}",
        )

    def _perhaps_fixed(self, port: Port, guess: Guess, size: str) -> str:
        """Of what a decoder is sent with each step, though it may stay the same: what to say."""
        steps = [each for each in self._ports if not is_kept(each.name, self._options)]
        lone = all(TIME not in guess.axes[each.name] for each in steps if each is not port)
        if len(steps) < 2 or not lone or not may_be_fixed(port.name):
            return ""
        return f"say {flags.fixed(port.name)} {size} if it stays while a session does; or "

    def _crowd(self, port: Port) -> int:
        """How many more axes an input leaves open than could be told apart."""
        return len(port.open_axes) - (1 if is_kept(port.name, self._options) else 2)

    def _other_sizes(
        self, guess: Guess, draws: Draws, time: int, places: Sequence[_Place]
    ) -> Iterator[int]:
        """Sizes, a session's part where the axis is `batch`, other than the one that was taken."""
        taken = _taken(guess, places[0])
        for size in sorted({*_FEW, *(taken * each for each in _FEW)} - {taken}):
            if self._runs(_sized(guess, places, size), draws, time=time):
                yield size

    def _alone(self, port: Port, names: Sequence[str]) -> Iterator[int]:
        """Sizes at which the model runs with these open axes of an input."""
        for size in _FEW:
            axes = tuple(size if axis in names else axis for axis in port.axes)
            ports = [replace(port, axes=axes) if own is port else own for own in self._ports]
            if any(self._runs(guess) for guess in guesses(ports, self._options)):
                yield size

    def _runs(
        self, guess: Guess, draws: Draws | None = None, *, rows: int = _ROWS, time: int = _TIME
    ) -> bool:
        folded = replace(guess, folds={name: fold or 1 for name, fold in guess.folds.items()})
        drawn = draws or self._fitter.draws()
        try:
            self._fitter.run(folded, rows if guess.batch else 0, time, drawn)
        except Exception:  # whatever the runtime says: not this size
            return False
        return True

    def _unsettled(self, guess: Guess, place: _Place, ran: Sequence[int]) -> ExportRefused:
        port, taken = place.port, _taken(guess, place)
        axes = list(map(str, guess.axes[port.name]))
        folded = axes[place.axis] == BATCH
        axes[place.axis] = f"{BATCH}*SIZE" if folded else "SIZE"
        whose = " for each row of the batch" if folded else ""
        return ExportRefused(
            f"the file leaves axis {place.axis} of the state {port.name} open, and nothing settles "
            f"its size: it ran at {_listed(sorted((taken, *ran)))}{whose}",
            f"say its size: {flags.axes(port.name, port.dtype, ','.join(axes))}",
        )


def _open_times(port: Port, guess: Guess) -> Iterator[int]:
    """Which open axes of the input were read as time."""
    for place, (own, axis) in enumerate(zip(port.axes, guess.axes[port.name], strict=True)):
        if axis == TIME and own in port.open_axes:
            yield place


def _taken(guess: Guess, place: _Place) -> int:
    axis = guess.axes[place.port.name][place.axis]
    return axis if isinstance(axis, int) else guess.folds[place.port.name]


def _sized(guess: Guess, places: Sequence[_Place], size: int) -> Guess:
    """The guess with its axes there at another size; of `batch` at another fold."""
    axes: dict[str, tuple[Axis, ...]] = dict(guess.axes)
    folds = dict(guess.folds)
    for place in places:
        name = place.port.name
        if axes[name][place.axis] == BATCH:
            folds[name] = size
        else:
            axes[name] = (*axes[name][: place.axis], size, *axes[name][place.axis + 1 :])
    return replace(guess, axes=axes, folds=folds)


def _named(axes: Collection[str]) -> str:
    return ", ".join(each.removeprefix(OPEN) for each in axes)


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
