"""What a foreign model is: the first reading of its axes and states that holds when it is run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from carousel.export import flags
from carousel.export.errors import ExportError, ExportRefused
from carousel.export.files.program import Program
from carousel.export.measured.rows import Company
from carousel.export.options import Options
from carousel.export.programs.faults import fault
from carousel.export.reading.ambiguity import Doubt
from carousel.export.reading.chooser import Choice, Chooser
from carousel.export.reading.fitting import Fit, Fitter, Rejected, open_ports
from carousel.export.reading.guesses import Guess, guesses, is_kept
from carousel.export.reading.origins import origins
from carousel.export.reading.proofs import check_steps, compare_rows, evidence
from carousel.export.reading.refusals import ONE_BY_ONE, Refusals
from carousel.export.reading.roles import Candidates, Roles
from carousel.export.reading.sizes import Sizes
from carousel.export.reading.subject import FileSubject
from carousel.models.spec import BATCH, ModelSpec


@dataclass(frozen=True, slots=True)
class _Failure:
    guess: Guess
    rejected: Rejected


class Settler:
    """Tries guesses, the likeliest first; then those that hold with one row at a time."""

    def __init__(self, program: Program, options: Options) -> None:
        self._program = program
        self._options = options
        twice = [each for each in program.outputs if program.outputs.count(each) > 1]
        if twice:
            raise ExportRefused(
                f"the file names the output {twice[0]} twice", "export it with each output once"
            )
        if not program.outputs:
            raise ExportRefused(
                f"nothing is left to answer with: {'; '.join(program.notes)}",
                "export it with a tensor of numbers as output",
            )
        self._fitter = Fitter(program, options)
        self._ports = open_ports(program, options)
        self._sizes = Sizes(self._fitter, self._ports, options)
        self._refusals = Refusals(program, self._fitter, self._sizes, options)
        self._chooser = Chooser(program, self._fitter, options)
        self._failures: list[_Failure] = []

    def __repr__(self) -> str:
        return f"<Settler {self._program!r} failures={len(self._failures)}>"

    def settle(self) -> FileSubject:
        """The reading that holds; raises ExportRefused or InvalidRequest where none does."""
        every = list(guesses(self._ports, self._options))
        if not every:
            raise self._refusals.unreadable()
        if self._options.batch:
            settled = self._first(every)
            if settled is None and any(0 in each.folds.values() for each in every):
                settled = self._first(every, search=True)
        else:
            settled = self._first(each.pin() for each in every if self._may_run_alone(each))
        if settled is None:
            coupled_ones = [each for each in self._failures if each.rejected.kind == "rows"]
            self._refuse_stated(coupled_ones)
            if self._failures and self._failures[0].rejected.kind == "shape":
                raise self._refusal_of(self._failures[0])  # its time is not held at one instead
            rows = [each.guess for each in coupled_ones if not each.guess.pinned]
            settled = self._first(each.pin() for each in rows if each.time or self._has_rows(each))
        if settled is None:
            raise self._refusal()
        return settled

    def _has_rows(self, guess: Guess) -> bool:
        """Whether `batch` must be of rows: a flag says so, states have them, or one alone runs.

        Any other axis may be time, and held at one it would be served a step at a time.
        """
        kept = [port for port in self._ports if is_kept(port.name, self._options)]
        return (
            any(BATCH in port.axes for port in self._ports)
            or any(BATCH in guess.axes[port.name] for port in kept)
            or not self._sizes.runs_together(guess)
        )

    def _may_run_alone(self, guess: Guess) -> bool:
        """Whether rows may be held at one because the caller says so."""
        return not guess.batch or self._has_rows(guess) or self._first([guess]) is not None

    def _first(self, every: Iterable[Guess], *, search: bool = False) -> FileSubject | None:
        for guess in every:
            tried = guess
            try:
                fit = self._fitter.fit(guess, search=search)
                tried = fit.guess
                settled = self._hold(fit)
            except Rejected as rejected:
                self._failures.append(_Failure(tried, rejected))
                if rejected.kind == "values":  # of which no other reading of the axes is a cure
                    raise self._refusals.of(rejected, tried) from None
                continue
            self._refuse_fewer(settled)
            return settled
        return None

    def _hold(self, fit: Fit) -> FileSubject:
        try:
            found = self._chooser.choose(fit)
        except Doubt as doubt:
            # Of these axes only if they are what they are taken for.
            spec = self._chooser.describe(fit, Roles({}, tuple(self._options.fixed), {}))
            subject = self._apart(fit, spec)
            outputs = dict.fromkeys(each for some in doubt.doubtful.values() for each in some)
            if not outputs:
                raise
            made = origins(subject, outputs, int(spec.has_batch), fit.time)
            raise doubt.explained(made) from None
        except ExportRefused as refusal:
            raise Rejected("pairs", refusal.reason, refusal) from None
        both_ways = self._refusals.both_ways(found.roles.pairs)
        if both_ways is not None:
            raise Rejected("time", both_ways.reason, both_ways)
        subject = self._apart(fit, found.spec)
        check_steps(subject)
        states = {*found.roles.pairs, *found.roles.fixed}
        self._sizes.check(fit.guess, fit.draws, fit.time, states)
        subject.why = dict(found.roles.why)
        for name, text in evidence(subject).items():
            why = subject.why.get(name)
            subject.why[name] = text if why is None else f"{why}; {text}"
        windows = self._chooser.windows(fit, found)
        subject.notes = (
            *subject.notes,
            *self._notes(fit, found),
            *([] if windows is None else [windows]),
        )
        return subject

    def _apart(self, fit: Fit, spec: ModelSpec) -> FileSubject:
        """The model by this spec; raises Rejected where its rows are no strangers."""
        subject = self._chooser.subject(fit, spec)
        company = compare_rows(subject, fit.time) if fit.guess.batch else Company()
        if company.mixed is not None:
            raise Rejected("rows", company.mixed)
        if company.failed is not None:
            words, error = company.failed
            text = f"rows were not compared with {words} ones, for which it fails: {fault(error)}"
            subject.notes = (text,)
        return subject

    def _notes(self, fit: Fit, found: Choice) -> tuple[str, ...]:
        notes, spec, guess = list(self._program.notes), found.spec, fit.guess
        if guess.pinned:
            reasons = [
                f"{each.rejected.refusal or each.rejected.reason}".rstrip(".")
                for each in self._failures
                if each.rejected.kind == "rows" and self._options.batch
            ]
            notes.append(f"one row at a time: {(*reasons, 'it was asked for')[0]}")
        elif not guess.batch:
            notes.append("one row at a time: the model has no batch axis")
        if not spec.states:
            notes.append("no state was found; --state INPUT=OUTPUT names one")
        notes += found.notes
        for each in spec.sent_inputs:
            if each.dtype.startswith(("int", "uint")) and each.low is None:
                held = "" if each.axes else f", and {flags.constant(each.name)} has nobody send it"
                span = flags.span(each.name)
                notes.append(f"nothing bounds {each.name}: {span} has it checked{held}")
        overlooked = Candidates(self._program, fit, self._options).overlooked(found.roles)
        notes += [
            f"{name} is sent by clients, and {output} has its shape: "
            f"{flags.states({name: output})} if it is a state"
            for name, output in overlooked.items()
        ]
        return tuple(notes)

    def _refuse_stated(self, failures: Sequence[_Failure]) -> None:
        """A batch axis that the caller stated must be one."""
        stated = [each.name for each in self._ports if BATCH in each.axes]
        if stated and failures and self._options.batch:
            raise ExportRefused(
                f"the axis of {stated[0]} that --input calls batch is none: "
                f"{failures[0].rejected.reason}",
                ONE_BY_ONE,
            )

    def _refuse_fewer(self, settled: FileSubject) -> None:
        """What holds is not taken where a likelier reading has more states, and they do not."""
        states = sum(each.context_of is None for each in settled.spec.states)
        for failure in self._failures:
            if failure.rejected.states > states:
                raise self._refusal_of(failure)

    def _refusal(self) -> ExportError:
        """Why the likeliest reading fails: the first that ran, if any did, as it was read."""
        last = {"rows": 1, "run": 2}  # all else says more than that an axis is something else
        return self._refusal_of(min(self._failures, key=lambda f: last.get(f.rejected.kind, 0)))

    def _refusal_of(self, failure: _Failure) -> ExportError:
        if failure.rejected.kind == "shape" and self._holds_alone(failure.guess):
            return ExportRefused(failure.rejected.reason, ONE_BY_ONE)
        return self._refusals.of(failure.rejected, failure.guess)

    def _holds_alone(self, guess: Guess) -> bool:
        """Whether the same is served with one row, which nobody has asked for yet."""
        may = self._options.batch and guess.batch and self._has_rows(guess)
        return may and self._first([guess.pin()]) is not None
