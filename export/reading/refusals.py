"""Why no reading of a file holds, and the flag that works first."""

from collections.abc import Collection
from dataclasses import replace

from carousel.export import flags
from carousel.export.errors import ExportError, ExportRefused, InvalidRequest
from carousel.export.files.program import Program
from carousel.export.options import Options
from carousel.export.reading.fitting import Fitter, Rejected, open_ports
from carousel.export.reading.guesses import Guess, guesses, is_kept
from carousel.export.reading.sizes import Sizes

_ROWS, _TIME, _SEEDS = 33, 4, 8  # of runs that would meet a wrong value, if there is one
ONE_BY_ONE = "say --no-batch, and rows run one by one"


class Refusals:
    """Makes a refusal of what was tried; runs the model where that tells what works."""

    def __init__(self, program: Program, fitter: Fitter, sizes: Sizes, options: Options) -> None:
        self._program = program
        self._fitter = fitter
        self._sizes = sizes
        self._options = options
        self._ports = open_ports(program, options)

    def __repr__(self) -> str:
        return f"<Refusals {self._program!r}>"

    def unreadable(self) -> ExportError:
        """Why there is no guess at all."""
        plain = replace(self._options, contexts={})
        if any(guesses(self._ports, plain)):
            name = next(iter(self._options.contexts))
            return InvalidRequest(f"--context: no axis of {name} is longer than its context")
        return self._sizes.unreadable()

    def both_ways(self, states: Collection[str]) -> ExportRefused | None:
        """The refusal of states of a bidirectional layer: no step's end is the next one's start."""
        names = [each.name for each in self._ports if each.name in self._program.both_ways]
        if not set(names) & set(states):
            return None
        return ExportRefused(
            f"{', '.join(names)} start a layer that runs both ways, which needs whole sequences",
            f"say {flags.sent(names)} and send them with each",
        )

    def of(self, rejected: Rejected, guess: Guess) -> ExportError:
        """Why a reading fails."""
        if rejected.refusal is not None:
            return rejected.refusal
        if rejected.reason.startswith("--"):
            return InvalidRequest(rejected.reason)
        return (
            self._program.keeps_state()
            or (self._of_values(rejected.reason, guess) if rejected.kind == "values" else None)
            or (self._of_run(rejected.reason, guess) if rejected.kind == "run" else None)
            or (self._of_time(rejected.reason, guess) if rejected.kind == "time" else None)
            or self._of_axes(f"it fails: {rejected.reason}", guess)
            or ExportRefused(
                f"the model does not run with these inputs: {rejected.reason}",
                "state axes with --input, the values that integers may have with --range",
            )
        )

    def _of_run(self, reason: str, guess: Guess) -> ExportRefused | None:
        """What is wrong with the values or the rows of a run that failed."""
        if self._fitter.unbound() and self._sizes.runs_together(guess):
            return self._of_values(reason, guess)
        alone = self._options.batch and self._sizes.runs_alone(guess)
        if alone and not self._sizes.runs_together(guess):
            return ExportRefused(f"the model runs with one row only: {reason}", ONE_BY_ONE)
        return None

    def _of_values(self, reason: str, guess: Guess) -> ExportRefused:
        """Which integer is at fault: with that one held at 1 it runs, whatever the others are."""
        names = self._fitter.unbound()
        held = [name for name in names if self._runs_held(guess, name)]
        return ExportRefused(
            f"the model fails with some values of its integers: {reason}",
            f"say which they may have: {flags.span((held or names)[0])}",
        )

    def _runs_held(self, guess: Guess, name: str) -> bool:
        draws = self._fitter.draws()
        draws = replace(draws, spans={**draws.spans, name: (1, 1)})
        try:
            for seed in range(_SEEDS):
                self._fitter.run(guess, _ROWS if guess.batch else 0, _TIME, draws, seed)
        except Exception:  # whatever the runtime says: another one is at fault
            return False
        return True

    def _of_time(self, reason: str, guess: Guess) -> ExportRefused | None:
        """What is wrong with states that chunks do not bear out."""
        kept = [each.name for each in self._ports if is_kept(each.name, self._options)]
        sent = flags.sent(name for name in kept if name not in self._options.pairs)
        costs = " (so many steps are then one frame, and answer otherwise than the whole sequence)"
        whole = f", or {sent} to send it with each whole sequence" if sent else ""
        return (
            self.both_ways(kept)
            or self._of_axes(reason, guess, costs + whole)
            or ExportRefused(
                f"the pairs do not hold when run: {reason}",
                f"{sent and f'say {sent} if clients send it, or '}name other outputs with --state",
            )
        )

    def _of_axes(self, reason: str, guess: Guess, instead: str = "") -> ExportRefused | None:
        open_ones = any(port.open_axes for port in self._ports)
        return self._sizes.unread(guess, reason, instead) if open_ones else None
