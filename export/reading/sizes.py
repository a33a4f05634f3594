"""Open axes of states at other sizes: what runs at several, no run can settle."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from carousel.export.errors import ExportRefused
from carousel.export.files.program import OPEN, Port
from carousel.export.measured.noise import Draws
from carousel.export.options import Options
from carousel.export.reading.fitting import Fitter
from carousel.export.reading.guesses import Guess, guesses, is_kept
from carousel.models.spec import BATCH, Axis

_SIZES = (1, 2, 3, 5)
_ROWS = 2
_TIME = 4


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an open axis of a state stands."""

    port: Port
    axis: int


class Sizes:
    """Runs what was settled with the axes of its states at other sizes."""

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
        for places in loose.values():
            ran = list(self._other_sizes(guess, draws, time, places))
            if ran:
                raise self._refusal(guess, places[0], ran)
        every = [place for places in loose.values() for place in places]
        ran = list(self._other_sizes(guess, draws, time, every)) if len(loose) > 1 else []
        if ran:
            raise self._refusal(guess, every[0], ran)

    def runs_alone(self, guess: Guess) -> bool:
        """Whether the model runs at one row where it does not at two."""
        return guess.batch and self._runs(guess.pin(), self._fitter.draws(), _TIME)

    def unreadable(self) -> ExportRefused:
        """The refusal of an input with more open axes than can be told apart."""
        port = max(self._ports, key=self._crowd)
        listed = ", ".join(each.removeprefix(OPEN) for each in dict.fromkeys(port.open_axes))
        others = {each for own in self._ports if own is not port for each in own.open_axes}
        own = [each for each in dict.fromkeys(port.open_axes) if each not in others]
        sizes = list(self._alone(port, own)) if own else []
        named = ", ".join(each.removeprefix(OPEN) for each in own)
        ran = f"; it ran with {named} at {_listed(sizes)}" if sizes else ""
        return ExportRefused(
            f"{port.name} leaves the axes {listed} open, of which one can be batch and one time, "
            f"and none of a state time{ran}",
            f"say what they are: --input {port.name}:{port.dtype}:AXES",
        )

    def _crowd(self, port: Port) -> int:
        """How many more axes an input leaves open than could be told apart."""
        return len(port.open_axes) - (1 if is_kept(port.name, self._options) else 2)

    def _other_sizes(
        self, guess: Guess, draws: Draws, time: int, places: Sequence[_Place]
    ) -> Iterator[int]:
        """Sizes, a session's part where the axis is `batch`, other than the one that was taken."""
        if not places:
            return
        taken = _taken(guess, places[0])
        wanted = {*_SIZES, *(taken * each for each in _SIZES)} - {taken}
        for size in sorted(wanted):
            axes: dict[str, tuple[Axis, ...]] = dict(guess.axes)
            folds = dict(guess.folds)
            for place in places:
                name = place.port.name
                if axes[name][place.axis] == BATCH:
                    folds[name] = size
                else:
                    axes[name] = _with(axes[name], place.axis, size)
            if self._runs(replace(guess, axes=axes, folds=folds), draws, time):
                yield size

    def _alone(self, port: Port, names: Sequence[str]) -> Iterator[int]:
        """Sizes at which the model runs with these open axes of an input."""
        for size in _SIZES:
            axes = tuple(size if axis in names else axis for axis in port.axes)
            ports = [replace(port, axes=axes) if own is port else own for own in self._ports]
            for guess in guesses(ports, self._options):
                folds = {name: fold or 1 for name, fold in guess.folds.items()}
                if self._runs(replace(guess, folds=folds), self._fitter.draws(), _TIME):
                    yield size
                    break

    def _runs(self, guess: Guess, draws: Draws, time: int) -> bool:
        try:
            self._fitter.run(guess, _ROWS if guess.batch else 0, time, draws)
        except Exception:  # whatever the runtime says: not this size
            return False
        return True

    def _refusal(self, guess: Guess, place: _Place, ran: Sequence[int]) -> ExportRefused:
        port, taken = place.port, _taken(guess, place)
        axes = list(map(str, guess.axes[port.name]))
        folded = axes[place.axis] == BATCH
        axes[place.axis] = f"{BATCH}*SIZE" if folded else "SIZE"
        whose = " for each row of the batch" if folded else ""
        return ExportRefused(
            f"the file leaves axis {place.axis} of the state {port.name} open, and nothing settles "
            f"its size: it ran at {_listed(sorted((taken, *ran)))}{whose}",
            f"say its size: --input {port.name}:{port.dtype}:{','.join(axes)}",
        )


def _taken(guess: Guess, place: _Place) -> int:
    axis = guess.axes[place.port.name][place.axis]
    return axis if isinstance(axis, int) else guess.folds[place.port.name]


def _with(axes: tuple[Axis, ...], place: int, size: int) -> tuple[Axis, ...]:
    return (*axes[:place], size, *axes[place + 1 :])


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
