"""A guess at the axes, run at several sizes: whether it runs, what is folded, what comes out."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial

import torch

from carousel.export import flags
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.files.program import Port, Program
from carousel.export.measured.axes import Fitted, fit_axes
from carousel.export.measured.noise import SETTINGS, Draws, Setting
from carousel.export.measured.subject import size
from carousel.export.measured.tolerance import difference
from carousel.export.options import Options, Value
from carousel.export.programs.faults import fault
from carousel.export.programs.runtime import Tensors
from carousel.export.reading.guesses import Guess, folds_of
from carousel.export.reading.names import may_be_state
from carousel.models.spec import BATCH, TIME

_TIME = 4
_MORE = (1, 2, 5, 29)  # steps beyond those: at longer intervals outputs differ only there
_LONGER = (4, 16, 64, 256, 1024)  # for what keeps no state and may need a longer sequence
_MOST_TRIES = 4096  # of folds
_SEEDS = 4  # draws that tell a fault of values from one of sizes


def open_ports(program: Program, options: Options) -> list[Port]:
    """The inputs that are neither constants nor filled in by the server."""
    known = {*options.constants, program.lengths}
    return [each for each in program.inputs if each.name not in known]


class Rejected(Exception):
    """A guess that does not hold: `run`, `values`, `shape`, `rows`, `time` or `pairs`, and the
    refusal if it comes to one; `states` is how many states it would have had where those are what
    fails.
    """

    def __init__(
        self, kind: str, reason: str, refusal: ExportRefused | None = None, states: int = 0
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.refusal = refusal
        self.states = states


@dataclass(frozen=True, slots=True)
class Fit:
    """A guess that runs: its folds, and the axes and fold of each output (None: not explained)."""

    guess: Guess
    draws: Draws
    time: int
    outputs: Mapping[str, Fitted | None]
    dtypes: Mapping[str, torch.dtype]


class Fitter:
    """Runs guesses on the program."""

    def __init__(self, program: Program, options: Options) -> None:
        self._program = program
        self._options = options
        self._ports = open_ports(program, options)
        self._fixed = {
            each.name: _constant(each, options.constants[each.name])
            for each in program.inputs
            if each.name in options.constants
        }
        self.spans = dict(self._find_spans())

    def __repr__(self) -> str:
        return f"<Fitter {self._program!r}>"

    def fit(self, guess: Guess, *, search: bool, least: int = _TIME) -> Fit:
        """The guess with what its runs showed; raises Rejected. `search` for folds takes long;
        `least` steps are tried, or more where there may be no states.
        """
        timed = guess.time
        self._check_counting(timed)
        kept = self._kept()
        times = [0] if not timed else [least] if kept else list(_LONGER)
        guess, time, draws = self._first_that_runs(guess, times, search)
        self._check_repeats(guess, time, draws)
        fit = self._explained(guess, time, draws)
        for longer in _LONGER[1:3] if timed and None in fit.outputs.values() else ():
            # What is pooled may be rounded up where a sequence is shorter than the pool.
            with suppress(Rejected):
                other = self._explained(guess, max(longer, time), draws)
                fit = fit if None in other.outputs.values() else other
        return fit

    def _explained(self, guess: Guess, time: int, draws: Draws) -> Fit:
        """The axes of the outputs by runs at this length and others; raises Rejected."""
        timed, batch = guess.time, 2 if guess.batch else 0
        sizes = [(batch, time), (batch + 1, time), (batch, time + 3)]
        wanted = dict.fromkeys((b if batch else 0, t if timed else 0) for b, t in sizes)
        runs = {sizes: self._probe(guess, *sizes, draws) for sizes in wanted}
        for more in _MORE if timed else ():
            with suppress(Rejected):  # these show how time is shortened, where they run
                runs[batch, time + more] = self._probe(guess, batch, time + more, draws)
        batches, lengths = zip(*runs, strict=True)

        @cache
        def run_at(steps: int) -> Tensors:
            try:
                return self._probe(guess, batch, steps, draws)
            except Rejected:
                return {}

        def shape_at(name: str, steps: int) -> Sequence[int] | None:
            output = run_at(steps).get(name)
            return None if output is None else tuple(output.shape)

        outputs = {
            name: fit_axes(
                [run[name].shape for run in runs.values()],
                batches,
                lengths,
                partial(shape_at, name) if timed else None,
            )
            for name in self._program.outputs
        }
        found = next(iter(runs.values()))
        return Fit(guess, draws, time, outputs, {name: each.dtype for name, each in found.items()})

    def run(self, guess: Guess, batch: int, time: int, draws: Draws, seed: int = 0) -> Tensors:
        """One run of the program at these sizes; raises what the runtime raises."""
        given = dict(self._fixed)
        for port in self._ports:
            axes = guess.axes[port.name]
            extra = self._extra(port.name, guess)
            sizes = {BATCH: batch * guess.folds[port.name], TIME: time + extra}
            given[port.name] = draws.tensor(port.name, port.dtype, axes, sizes, seed)
        lengths = self._program.lengths
        if lengths is not None:
            given[lengths] = torch.full((max(batch, 1),), time, dtype=torch.int32)
        return self._program.run(given)

    def draws(self) -> Draws:
        """Draws at the widest setting."""
        return self._draws(SETTINGS[0])

    def _draws(self, setting: Setting) -> Draws:
        counting = [name for name, steps in self._program.counting.items() if steps is None]
        return Draws(self.spans, dict(self._options.initial), self._kept(), setting, counting)

    def _check_counting(self, timed: bool) -> None:
        """Raise Rejected for lengths of what has no time axis."""
        lengths = self._program.lengths
        if lengths is not None and not timed:
            reason = f"{lengths} counts time steps, and nothing has a time axis"
            raise Rejected("run", reason, ExportRefused(reason, f"say {flags.sent([lengths])}"))

    def _kept(self) -> frozenset[str]:
        """Inputs that may be states."""
        options = self._options
        named = {each.name for each in self._ports if may_be_state(each.name)}
        return frozenset(
            {*named, *options.pairs, *options.fixed} - {*options.sent, *options.contexts}
        )

    def _extra(self, name: str, guess: Guess) -> int:
        """Time steps that stand in front of an input's own."""
        place = guess.along.get(name)
        if place is None or guess.axes[name][place] != TIME:
            return 0
        return self._options.contexts[name].samples

    def _find_spans(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for port in self._ports:
            if port.name in self._options.ranges:
                yield port.name, self._options.ranges[port.name]
            elif port.name in self._program.counting:
                # Silence is no step, of which there is none.
                yield port.name, (1, self._program.counting[port.name] or 1)
            elif port.is_integer:
                rows = self._program.vocabulary(port.name)
                if rows is not None:
                    yield port.name, (0, rows - 1)

    def _first_that_runs(
        self, guess: Guess, times: Sequence[int], search: bool
    ) -> tuple[Guess, int, Draws]:
        """Folds, length and setting at which the model runs, and gives finite numbers if it can."""
        reason = ""
        found: tuple[Guess, int, Draws] | None = None
        for time, setting in itertools.product(times, SETTINGS):
            draws = self._draws(setting)
            try:
                folded = self._folded(guess, time, draws, search)
                outputs = self.run(folded, 2 if folded.batch else 0, time, draws)
            except Exception as error:  # whatever the runtime says to sizes or values
                reason = reason or fault(error)
                continue
            if all(_is_finite(each) for each in outputs.values()):
                return folded, time, draws
            found = found or (folded, time, draws)
        if found is None:
            raise Rejected("run", reason)
        return found

    def _folded(self, guess: Guess, time: int, draws: Draws, search: bool) -> Guess:
        """The guess with every fold known; raises what the runtime says where none runs."""
        unknown = [name for name, fold in guess.folds.items() if fold == 0]
        plain = replace(guess, folds={**guess.folds, **dict.fromkeys(unknown, 1)})
        try:
            self.run(plain, 1, time, draws)
        except Exception:  # whatever the runtime says: a fold may be what is wrong
            if not (search and unknown and draws.setting == SETTINGS[0]):
                raise
        else:
            return plain
        for folds in itertools.islice(folds_of(self._ports, unknown), _MOST_TRIES):
            folded = replace(guess, folds={**guess.folds, **folds})
            try:
                self.run(folded, 1, time, draws)
            except Exception:  # whatever the runtime says: not this fold
                continue
            return folded
        self.run(plain, 1, time, draws)
        return plain

    def _probe(self, guess: Guess, rows: int, steps: int, draws: Draws) -> Tensors:
        try:
            return self.run(guess, rows, steps, draws, seed=rows + steps)
        except Exception as error:  # whatever the runtime says to a size that it does not take
            kind = "values" if self._runs_otherwise(guess, rows, steps, draws) else "run"
            raise Rejected(kind, f"{size(rows, steps)}: {fault(error)}") from None

    def unbound(self) -> list[str]:
        """Integer inputs of whose values nothing is known."""
        return [
            each.name for each in self._ports if each.is_integer and each.name not in self.spans
        ]

    def _runs_otherwise(self, guess: Guess, rows: int, steps: int, draws: Draws) -> bool:
        """Whether a size that failed runs with other values of integers."""
        for seed in range(_SEEDS) if self.unbound() else ():
            with suppress(Exception):  # whatever the runtime says: not these values
                self.run(guess, rows, steps, draws, seed)
                return True
        return False

    def _check_repeats(self, guess: Guess, time: int, draws: Draws) -> None:
        """Raise ExportRefused unless a run says the same after another run as before it."""
        batch = 2 if guess.batch else 0
        first = self.run(guess, batch, time, draws)
        self.run(guess, batch, time, draws, seed=1)
        again = self.run(guess, batch, time, draws)
        if all(difference(first[name], again[name]).error == 0 for name in first):
            return
        raise self._program.keeps_state() or ExportRefused(
            "two runs on the same input differ: the model draws random numbers, or keeps state "
            "where no caller sees it",
            "export it without, its state taken as an input and returned as an output",
        )


def _constant(port: Port, value: Value) -> torch.Tensor:
    """The constant as the program takes it; raises InvalidRequest where it is none of its dtype."""
    dtype: torch.dtype = getattr(torch, port.dtype)
    if dtype == torch.bool:
        fits = isinstance(value, bool)
    elif dtype.is_floating_point:
        fits = not isinstance(value, bool) and abs(value) <= torch.finfo(dtype).max
    else:
        info = torch.iinfo(dtype)
        fits = type(value) is int and info.min <= value <= info.max
    if not fits:
        raise InvalidRequest(f"--constant: {port.name} is {port.dtype}, which {value} is not")
    sizes = [axis for axis in port.axes if isinstance(axis, int)]
    if len(sizes) < len(port.axes):
        raise InvalidRequest(
            f"--constant: {port.name} has the axes {port.axes}; give their sizes with --input"
        )
    return torch.full(sizes, value, dtype=dtype)


def _is_finite(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
