"""Finds the states that a forward written by hand hides, by running it; and proves them.

Calls of torch are matched between a run of one step and one of two: what the second step has where
the first one starts is the new value of a state. What is found counts only if step by step it gives
what the original gives to whole sequences.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

import torch

from carousel.export.discovery.layout import Layout
from carousel.export.errors import told
from carousel.export.lifting.apart import stand_apart
from carousel.export.lifting.candidates import MANY, Candidates, Options, same
from carousel.export.lifting.cut import cut
from carousel.export.lifting.finders import find_late, find_scans
from carousel.export.lifting.idle import without_idle, without_overruled
from carousel.export.lifting.layers import find_layers
from carousel.export.lifting.plan import After, Plan
from carousel.export.lifting.recording import LAYERS, Recording
from carousel.export.lifting.scans import Scan
from carousel.export.lifting.scripted import operators
from carousel.export.lifting.seldom import holds_seldom
from carousel.export.lifting.shifts import Shift, find_shifts
from carousel.export.lifting.sites import Key
from carousel.export.lifting.step import UNFIT, Step, Tensors
from carousel.export.lifting.trial import Trial
from carousel.export.lifting.ways import plans_of, splits, start_of
from carousel.export.module.original import Original
from carousel.export.threads import LARGE

_SHORT, _STEPS, _LONG = 4, 12, 96  # steps of a trial, of the proof, and of the loud proof,
_LONG_OF_LARGE = 24  # and of that of a model whose steps take long
_MOST_COPIES = 3
_MOST_TRIALS = 600  # of a forward that has many candidates


class NotLifted(Exception):
    """No set of states was found that holds; the message says what is in the way."""


class _TooShort(Exception):
    """Forward does not take a sequence of one step."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A plan that holds, and where sessions start by it, for a batch of rows."""

    plan: Plan
    trial: Trial
    batch: int

    def step(self) -> Step:
        """The forward with its states explicit."""
        starts = enumerate(self.start(self.batch))
        return self.trial.step(self.plan, [place for place, each in starts if each.is_complex()])

    def names(self) -> list[str]:
        """What forward calls each state, or what is done with it."""
        keys = {pair.start.key for pair in self.plan.pairs}
        keys |= {pair.after for pair in self.plan.pairs if isinstance(pair.after, Key)}
        # The next step takes what this one leaves by the name that forward has for it.
        values = self.trial.draw(self.batch, self.plan.copies + 1, 5)
        called = self.trial.record(values, keys).names
        pairs = [
            (called.get(pair.after) if isinstance(pair.after, Key) else None)
            or called.get(pair.start.key)
            or _layer_name(pair.after)
            for pair in self.plan.pairs
        ]
        begun = [
            f"{name}_begun"
            for name, pair in zip(pairs, self.plan.pairs, strict=True)
            if pair.begins
        ]
        return [*pairs, *begun, *(name for scan in self.plan.scans for name in scan.names())]

    def start(self, batch: int) -> tuple[torch.Tensor, ...]:
        """The states of `batch` rows before the first step."""
        one = self.trial.record(self.trial.draw(batch, self.plan.copies, 5))
        found = start_of(self.plan, one, batch)
        assert found is not None, "the plan held at other batch sizes"
        return found


class Lifter:
    """Looks for a plan. `keeps`: forward goes on from call to call, by its attributes. `unseen`:
    it loops inside of TorchScript.
    """

    def __init__(self, original: Original, layout: Layout) -> None:
        self._trial = Trial(original, layout)
        self._batch = layout.batch
        weights = sum(each.numel() for each in original.module.parameters())
        self._long = _LONG if weights < LARGE else _LONG_OF_LARGE
        self.keeps = self.unseen = False

    def __repr__(self) -> str:
        return f"<Lifter {self._trial!r}>"

    def lift(self) -> Lifted:
        """The plan that holds; raises NotLifted."""
        trial = self._trial
        with ExitStack() as stack:
            if self._runs_in_double():
                stack.enter_context(trial.precise())
            try:
                values = trial.draw(self._batch, self._long, 1)
                self._check(values)
                plan = without_idle(self._find(values), trial, self._batch)
                plan = without_overruled(plan, trial.record(trial.part(values, 0, plan.copies)))
                if len(plan) == 0:
                    raise NotLifted("nothing is remembered from one step to the next")
                self._prove(plan)
            except NotLifted:
                raise
            except UNFIT as error:  # what forward says to short or loud sequences
                raise NotLifted(f"forward fails: {told(error)}") from error
            return Lifted(plan, trial, self._batch)

    def loops(self) -> bool:
        """Whether forward makes more calls of torch for more steps."""
        trial = self._trial
        values = trial.draw(self._batch, 3, 1)
        parts = [trial.part(values, 0, steps) for steps in (2, 3)]
        try:
            few, more = (trial.record(part) for part in parts)
            if len(few.calls) < len(more.calls) or not few.scripted():
                return len(few.calls) < len(more.calls)
            inside = [operators(partial(trial.whole, part)) for part in parts]
            self.unseen = inside[0] < inside[1]
            return self.unseen
        except UNFIT:  # what forward says to so few steps
            return False

    def _runs_in_double(self) -> bool:
        try:
            with self._trial.precise():
                found = self._trial.whole(self._trial.draw(self._batch, 2, 1))
        except UNFIT:  # forward makes numbers of one precision by itself
            return False
        return all(each.dtype != torch.float32 for each in found.values())

    def _check(self, values: Tensors) -> None:
        """Raise NotLifted for what no set of states can answer."""
        trial = self._trial
        part = trial.part
        first, again = trial.whole(part(values, 0, 6)), trial.whole(part(values, 0, 6))
        short = trial.whole(part(values, 0, 3))
        if not all(torch.equal(first[name], again[name]) for name in first):
            raise NotLifted("forward answers the same inputs differently")
        self.keeps, goes_on = self._goes_on(values, first)
        if not goes_on:
            raise NotLifted("what forward keeps from call to call is not what a sequence needs")
        for name, axis in trial.outputs.items():
            if axis is not None and not same(short[name], first[name].narrow(axis, 0, 3)):
                raise NotLifted("an output depends on later steps")

    def _goes_on(self, values: Tensors, whole: Tensors) -> tuple[bool, bool]:
        """Whether calls have to do with each other, and if so go on where the last one ended."""
        trial, part = self._trial, self._trial.part
        twice = trial.in_turn([part(values, 0, 6)] * 2)
        if all(same(twice[0][name], twice[1][name]) for name in whole):
            return False, True
        pieces = trial.in_turn([part(values, 0, 3), part(values, 3, 6)])
        return True, all(
            same(
                pieces[1][name] if axis is None else torch.cat([p[name] for p in pieces], axis),
                whole[name],
            )
            for name, axis in trial.outputs.items()
        )

    def _find(self, values: Tensors) -> Plan:
        trial = self._trial
        expected = trial.expected(values, _SHORT)
        for trials, (plan, start) in enumerate(self._ways(values)):
            if trials == _MOST_TRIALS:
                raise NotLifted("there are too many candidates for its states")
            holds = start is not None and trial.holds(plan, values, start, expected)
            if holds and stand_apart(plan, trial) and holds_seldom(plan, trial, self._batch):
                return plan
        raise NotLifted("no set of states gives the second step")

    def _ways(self, values: Tensors) -> Iterator[tuple[Plan, tuple[torch.Tensor, ...] | None]]:
        """Plans with where they start, the likeliest first: from one step, then by a cut."""
        trial, part = self._trial, self._trial.part
        other = trial.draw(self._batch, _MOST_COPIES, 2)
        two, three = (trial.record(part(values, 0, steps)) for steps in (2, 3))
        with suppress(_TooShort):
            one, another = self._one_step(values), self._one_step(other)
            many = trial.record(part(values, 0, MANY))
            candidates = Candidates(one, another, two, many)
            certain, likely = candidates.options()
            moving = candidates.moving()
            shifts = tuple(find_shifts(one, many))
            certain_shifts = tuple(each for each in shifts if each.kind == "diff")
            scans = _beside(tuple(find_scans(one, two)), certain_shifts)
            counts = any(each.kind == "arange" for each in scans) and self._batch
            for each in (True, False) if counts else (False,):
                # Sessions that share a run stand at different places: each counts for itself.
                own = tuple(replace(s, each=each and s.kind == "arange") for s in scans)
                for those in (own, _beside(own, shifts)) if shifts else (own,):
                    free, maybe, late = (_without(o, those) for o in (certain, likely, moving))
                    for plan in plans_of(free, maybe, late, those, 1):
                        yield plan, start_of(plan, one, self._batch)
        for copies, run, more in ((2, two, three), (3, three, trial.record(part(values, 0, 4)))):
            ends = [part(values, 0, copies - 1), part(other, copies - 1, copies)]
            seconds = [
                part(values, 0, copies - 2),
                part(other, copies - 2, copies - 1),
                part(values, copies - 1, copies),
            ]
            last, before = (trial.record(trial.joined(parts)) for parts in (ends, seconds))
            scans = (*find_scans(run, more), *find_late(run, more), *find_layers(run, more))
            for certain, moving in splits(cut(run, last, before)):
                for plan in plans_of(certain, Options(), moving, scans, copies):
                    yield plan, start_of(plan, run, self._batch)
            if copies == 2:
                yield from self._apart(values, run, last, before, more, scans)

    def _apart(
        self,
        values: Tensors,
        run: Recording,
        last: Recording,
        before: Recording,
        more: Recording,
        scans: tuple[Scan, ...],
    ) -> Iterator[tuple[Plan, tuple[torch.Tensor, ...] | None]]:
        """Plans of a forward whose first step is one of its own, from runs of two steps and one of
        `more`; at last with states that no input reaches (the gain of a filter).
        """
        with suppress(_TooShort):
            read = cut(run, last, before, self._one_step(values))
            trial, other = self._trial, self._trial.draw(self._batch, 2, 2)
            many = trial.record(trial.part(values, 0, MANY))
            fixed, _ = Candidates(run, trial.record(other), more, many).options()
            for found in (read, {**fixed, **read}):
                for plan in plans_of(Options(), Options(), found, scans, 2):
                    yield replace(plan, apart=True), start_of(plan, run, self._batch)

    def _one_step(self, values: Tensors) -> Recording:
        try:
            return self._trial.record(self._trial.part(values, 0, 1))
        except UNFIT as error:  # what forward says to a lone step
            raise _TooShort from error

    def _prove(self, plan: Plan) -> None:
        """Raise NotLifted unless it holds for other inputs, other batches, long and loud."""
        trial = self._trial
        batches = (self._batch, 1, 5) if self._batch else (0,)
        for index, batch in enumerate(batches):
            for steps, loud in ((_STEPS, False), (self._long, True))[: 2 if index == 0 else 1]:
                values = trial.draw(batch, steps, 20 + index, loud=loud)
                start = start_of(plan, trial.record(trial.part(values, 0, plan.copies)), batch)
                try:
                    expected = trial.expected(values, steps)
                except UNFIT:  # so long or loud a sequence is not accepted
                    if not loud:
                        raise NotLifted(f"forward does not take {steps} steps") from None
                    continue
                if start is None or not trial.holds(plan, values, start, expected):
                    raise NotLifted(f"the states that were found do not hold over {steps} steps")


def _beside(scans: tuple[Scan, ...], shifts: tuple[Shift, ...]) -> tuple[Scan, ...]:
    """Both, where a call may be either a shift."""
    taken = {each.at for each in shifts}
    return (*shifts, *(each for each in scans if each.at not in taken))


def _without(options: Options, scans: Collection[Scan]) -> Options:
    """Without the starts that are written by what is an operator along time."""
    written = {each.at for each in scans if each.at[0].function == "__setitem__"}
    return {
        start: after
        for start, after in options.items()
        if (start.key.site, start.key.occurrence) not in written
    }


def _layer_name(after: After) -> str:
    """The name of a state that no variable of forward holds: that of one of torch's layers."""
    if isinstance(after, Key) and after.site.function in LAYERS:
        return "hc"[after.place - 1]
    return "state"
