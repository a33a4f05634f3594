"""Which of several readings of the same axes holds when it is run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product

from carousel.export import flags
from carousel.export.errors import ExportRefused
from carousel.export.files.program import Program
from carousel.export.measured.tolerance import Tolerance
from carousel.export.options import Options
from carousel.export.reading.ambiguity import Doubt, contradicted, listed, several
from carousel.export.reading.describe import describe, without_batch
from carousel.export.reading.fitting import Fit, Fitter, Rejected
from carousel.export.reading.proofs import holds
from carousel.export.reading.roles import Candidates, Roles
from carousel.export.reading.subject import FileSubject
from carousel.models.spec import TIME, ModelSpec

_LEAST = 4  # steps of a sequence that frames are compared with


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided; `notes` say what other readings failed by."""

    roles: Roles
    spec: ModelSpec
    notes: tuple[str, ...] = ()


class Chooser:
    """Runs readings in chunks, the likeliest first."""

    def __init__(self, program: Program, fitter: Fitter, options: Options) -> None:
        self._program = program
        self._fitter = fitter
        self._options = options

    def __repr__(self) -> str:
        return f"<Chooser {self._program!r}>"

    def choose(self, fit: Fit) -> Choice:
        """The reading that holds: that of flags and names; where it does not, the same states with
        other outputs; then one in which more inputs are states. Raises Doubt, Rejected or
        ExportRefused where none does, or more than one.
        """
        candidates = Candidates(self._program, fit, self._options)
        try:
            return self._holding(fit, candidates.readings())
        except Rejected as rejected:
            if rejected.kind != "time":
                raise
            for readings in self._others(candidates):
                try:
                    found = self._holding(fit, readings)
                except Rejected as other:
                    if other.kind == "pairs":
                        raise other from None
                else:
                    note = f"names tell other pairs, which do not hold when run: {rejected.reason}"
                    return replace(found, notes=(*found.notes, note))
            raise

    def windows(self, fit: Fit, choice: Choice) -> str | None:
        """What is to be said of frames of a size that a flag gives to an axis the file leaves open:
        that so many steps one after the other answer otherwise than at once, if they do.

        Raises ExportRefused where other pairs of the same states answer as the whole does.
        """
        taken = {*choice.roles.pairs, *choice.roles.fixed, *self._options.contexts}
        sized = {name: at for name, at in self._program.sized.items() if name not in taken}
        if fit.guess.time or not choice.roles.pairs:
            return None
        for places in product(*sized.values()):
            note = self._window(fit, choice.roles, dict(zip(sized, places, strict=True)))
            if note is not None:
                return note
        return None

    def describe(self, fit: Fit, roles: Roles) -> ModelSpec:
        """The spec of a reading; raises Rejected."""
        spec = describe(self._program, fit, roles, self._options)
        lone = without_batch(spec)
        if lone is not None and fit.guess.batch:
            reason = f"{lone} has no batch axis"
            scalar = any(each.name == lone and not each.axes for each in spec.sent_inputs)
            way_out = f"say {flags.constant(lone)} if it is the same for all"
            raise Rejected("rows", reason, ExportRefused(reason, way_out) if scalar else None)
        return spec

    def subject(self, fit: Fit, spec: ModelSpec) -> FileSubject:
        """The file by this spec."""
        return FileSubject(
            self._program,
            spec,
            fit.draws,
            fit.time,
            Tolerance.of(spec, self._options.tolerance),
            dict(self._options.initial),
        )

    def _window(self, fit: Fit, roles: Roles, places: Mapping[str, int]) -> str | None:
        axes = dict(fit.guess.axes)
        units = {axes[name][at] for name, at in places.items()}
        for name, at in places.items():
            axes[name] = (*axes[name][:at], TIME, *axes[name][at + 1 :])
        unit = units.pop() if len(units) == 1 else None
        if not isinstance(unit, int):
            return None
        try:
            guess = replace(fit.guess, axes=axes)
            whole = self._fitter.fit(guess, search=False, least=max(unit, _LEAST))
            candidates = Candidates(self._program, whole, self._options)
            if candidates.may_pair(roles.pairs):
                self._holding(whole, [roles], unit)
        except Rejected as rejected:
            if rejected.kind != "time":
                return None
            held = self._other(whole, candidates, unit)
            if held is not None and held.roles.pairs:
                raise contradicted(roles.pairs, held.roles.pairs) from None
            return f"frames of {unit} together are not the whole sequence: {rejected.reason}"
        return None

    def _other(self, whole: Fit, candidates: Candidates, unit: int) -> Choice | None:
        try:
            for readings in self._others(candidates):
                with suppress(Rejected):
                    return self._holding(whole, readings, unit)
        except ExportRefused:  # as a sequence there is more to be said, which nobody asked for
            return None
        return None

    def _others(self, candidates: Candidates) -> Iterator[list[Roles]]:
        try:
            yield candidates.anew()
        except Doubt:  # more ways than are tried
            return
        yield candidates.readings(wide=True)

    def _holding(self, fit: Fit, readings: Sequence[Roles], unit: int = 1) -> Choice:
        """The reading that holds in chunks; the only one where there is no time to cut."""
        holding: list[Choice] = []
        plain: list[Choice] = []
        text = ""
        most = max((len(each.pairs) + len(each.fixed) for each in readings), default=0)
        for roles in readings:
            spec = self.describe(fit, roles)
            if not (fit.guess.time and spec.states):
                plain.append(Choice(roles, spec))
                continue
            held = holds(self.subject(fit, spec), unit=unit)
            if held.found.passes:
                holding.append(Choice(roles, spec))
            pairs = f"with the states {listed(roles.pairs)} " if roles.pairs else ""
            text = text or f"{pairs}chunks of it differ from the whole ({held.text})"
        if len(holding) > 1:
            raise Rejected("pairs", "", several([each.roles.pairs for each in holding]), most)
        if not holding and not plain:
            raise Rejected("time", text, None, most)
        lost = (f"no pair of an input and an output holds when run: {text}",) if text else ()
        return holding[0] if holding else replace(plain[0], notes=lost)
