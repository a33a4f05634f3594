"""Which axes vary: measured by running the module at other sizes, and row by row."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

import torch

from carousel.export.discovery.carried import Carried
from carousel.export.discovery.counting import counting
from carousel.export.discovery.hypotheses import Guesses, Hypothesis, check_axes
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.probes import Probe, Rejected, check_layers, fit_probes, listed
from carousel.export.errors import ExportRefused, ForwardFailed, InvalidRequest, told
from carousel.export.measured.axes import Fitted
from carousel.export.measured.rows import ROWS, Company, Placed, coupled, unusual
from carousel.export.measured.sampling import Axes, Sampler, Span
from carousel.export.measured.subject import size
from carousel.export.measured.tolerance import HALF, USUAL
from carousel.export.module.original import Observation, Original
from carousel.models.spec import BATCH, TIME

_DRAWS = 6  # where no size varies: the example, and as many others as show both sides of a flag


@dataclass(slots=True)
class Discovery:
    """Tries hypotheses, the likeliest first, until one holds."""

    original: Original
    carried: tuple[Carried, ...]
    lengths: str | None
    stated: Mapping[str, Axes]
    seen: Observation
    spans: Mapping[str, Span] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    coupled: list[tuple[Hypothesis, str]] = field(default_factory=list)
    stuck: list[tuple[Hypothesis, str]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def discover(self) -> Layout:
        """The layout of the module; raises ExportRefused where none can be served."""
        guesses = self._guesses()
        recurrent = bool(self.seen.calls.layers)
        timed = (
            recurrent or bool(self.carried) or any(TIME in axes for axes in self.stated.values())
        )
        layout = self._first(guesses.both()) if timed else None
        if layout is None and self.coupled:
            layout = self._first(each.pin() for each, _ in self.coupled)
        if layout is None and self.stuck:
            hypothesis, reason = self.stuck[0]
            fixed = self._whole_example(hypothesis)
            raise ExportRefused(
                reason,
                f"let forward keep one output per time step, or fix the length: axes={fixed} "
                f"({' '.join(_flag(name, axes) for name, axes in fixed.items())})",
            )
        layout = layout or self._first(guesses.batch_only())
        if layout is None and self.coupled:
            layout = self._first(each.pin() for each, _ in self.coupled)
        if timed:
            layout = layout or self._first(guesses.time_only())
        layout = layout or self._first(guesses.static())
        if layout is None:
            rejected = [*self.failed, *(reason for _, reason in self.coupled), *self.unseen]
            why = f" ({rejected[0]})" if rejected else ""
            raise InvalidRequest(
                f"axes: the module does not run with the axes that were given{why}"
            )
        return replace(layout, notes=(*layout.notes, *self._notes(layout, timed)))

    def timed(self, *, alone: bool = False) -> Iterator[Layout]:
        """Layouts with a time axis, of a module in which nothing was seen that needs one; with
        `alone` of one row.
        """
        guesses, found = self._guesses(), False
        for hypothesis in (each.pin() for each in guesses.both()) if alone else guesses.both():
            with suppress(Rejected):
                yield self._measure(hypothesis)
                found = True
        for hypothesis in () if found else guesses.time_only():
            with suppress(Rejected):
                yield self._measure(hypothesis)

    def _notes(self, layout: Layout, timed: bool) -> Iterator[str]:
        """What stays as it is in the example, which may not be what was meant."""
        if self.coupled and not (layout.batch or layout.notes):
            yield f"no batch axis was found: {self.coupled[0][1]}"
        elif self.failed and not (layout.batch or layout.notes):
            yield f"no batch axis was found; with other sizes forward fails: {self.failed[0]}"
        elif self.failed and not layout.time and self._runs_steps():
            yield f"no time axis was found; with other sizes forward fails: {self.failed[0]}"
        if not timed:
            yield "no recurrent layer and no state was found: no size but the batch varies"

    def _whole_example(self, hypothesis: Hypothesis) -> dict[str, Axes]:
        """The axes of inputs that have time, each as long as in the example."""
        tensors = self.original.signature.tensors()
        return {
            name: tuple(
                long if axis == TIME else BATCH if place == _batch_place(hypothesis, name) else axis
                for place, (axis, long) in enumerate(zip(axes, tensors[name].shape, strict=True))
            )
            for name, axes in hypothesis.axes.items()
            if TIME in axes
        }

    def _runs_steps(self) -> bool:
        """Whether a layer ran several steps in the example's call."""
        calls = self.seen.calls.layers.values()
        return any(len(each) > 1 or (each[0].steps or 1) > 1 for each in calls)

    def _guesses(self) -> Guesses:
        tensors = self.original.signature.tensors()
        omitted = {
            leaf for name in self.original.omit for leaf in self.original.signature.leaves(name)
        }
        tensors = {name: each for name, each in tensors.items() if name not in omitted}
        states = [each.leaf for each in self.carried if each.leaf in tensors]
        for name, axes in self.stated.items():
            if name in tensors:
                check_axes(name, axes, tensors[name], name in states)
        fixed = [each.leaf for each in self.carried if each.fixed]
        return Guesses(tensors, states, fixed, self.stated, self._batch_first(), self.lengths)

    def _batch_first(self) -> bool:
        layers = dict(self.original.module.named_modules())
        called = [layers[path] for path in self.seen.calls.layers]
        return not called or bool(getattr(called[0], "batch_first", False))

    def _first(self, hypotheses: Iterator[Hypothesis]) -> Layout | None:
        for hypothesis in hypotheses:
            try:
                return self._measure(hypothesis)
            except Rejected as rejected:
                if rejected.kind == "run":
                    self.failed.append(rejected.reason)
                elif rejected.kind == "rows":
                    self.coupled.append((hypothesis, rejected.reason))
                elif rejected.kind == "time":
                    self.stuck.append((hypothesis, rejected.reason))
                elif rejected.kind == "layers":
                    self.unseen.append(rejected.reason)
        return None

    def _measure(self, hypothesis: Hypothesis) -> Layout:
        sampler = self._sampler(hypothesis)
        probes = tuple(self._probe(sampler, hypothesis))
        if self.seen.calls.layers and (hypothesis.batch or hypothesis.time):
            check_layers(probes, hypothesis)
        outputs = self._fit_outputs(probes, hypothesis, sampler)
        notes: tuple[str, ...] = ()
        if hypothesis.batch:
            notes = self._check_rows(sampler, outputs, hypothesis)
        elif self.coupled and hypothesis.pinned:
            notes = (f"one row at a time: {self.coupled[0][1]}",)
        carried = {each.output: each.leaf for each in self.carried if each.output is not None}
        states = {carried[name]: each.axes for name, each in outputs.items() if name in carried}
        own = [each.leaf for each in self.carried if each.leaf in sampler.axes]
        return Layout(
            sampler=sampler,
            outputs=_answers(outputs, carried),
            states={**states, **{leaf: sampler.axes[leaf] for leaf in own}},
            folds={carried.get(name, name): each.fold for name, each in outputs.items()},
            batch=hypothesis.batch,
            time=hypothesis.time,
            probes=probes,
            notes=notes,
        )

    def _sampler(self, hypothesis: Hypothesis) -> Sampler:
        tensors = self.original.signature.tensors()
        example = {name: tensors[name] for name in hypothesis.axes}
        for name, axis in hypothesis.pinned.items():
            example[name] = tensors[name].narrow(axis, 0, hypothesis.folds.get(name, 1))
        sampler = Sampler(example, hypothesis.axes, hypothesis.folds, self.lengths, self.spans)
        return replace(sampler, counts=counting(self.original, sampler, hypothesis))

    def _check_rows(
        self, sampler: Sampler, outputs: Mapping[str, Fitted], hypothesis: Hypothesis
    ) -> tuple[str, ...]:
        """Raises Rejected where rows are not independent; notes what could not be compared."""
        given = {
            name: Placed(axes, sampler.folds.get(name, 1)) for name, axes in sampler.axes.items()
        }
        found = {name: Placed(each.axes, each.fold) for name, each in outputs.items()}
        own, strangers = (sampler.draw(ROWS, hypothesis.time, seed) for seed in (11, 12))
        held = [] if self.lengths is None else [self.lengths]
        half = any(each.dtype == torch.float16 for each in self.original.module.parameters())
        try:
            company = coupled(
                lambda values: self.original.run(values).outputs,
                given,
                found,
                own,
                strangers,
                unusual(strangers, sampler.spans, held),
                HALF if half else USUAL,
            )
        except Exception as error:  # whatever the user's code says to other rows, or to one
            company = Company(f"it does not run with other rows ({told(error)})")
        if company.mixed is not None:
            raise Rejected("rows", company.mixed)
        if company.failed is None:
            return ()
        words, failed = company.failed
        text = f"rows were not compared with {words} ones, for which forward fails: {told(failed)}"
        return (text,)

    def _probe(self, sampler: Sampler, hypothesis: Hypothesis) -> Iterator[Probe]:
        batch, time = hypothesis.batch, hypothesis.time
        sizes = [(batch, time), (batch + 1, time), (batch, time + 3), (batch + 2, time + 4)]
        # Far longer, where the module takes it: what is pooled over many steps shows there alone.
        sizes.append((batch, 4 * time + 17))
        wanted = list(dict.fromkeys((b if batch else 0, t if time else 0) for b, t in sizes))
        if len(wanted) == 1:
            wanted *= _DRAWS  # other values at least: what is the same at every run shows nothing
        for index, (rows, length) in enumerate(wanted):
            # The example itself first: it is what the caller knows to run.
            plain = index == 0 and self.lengths is None
            values = dict(sampler.example) if plain else sampler.draw(rows, length, index)
            try:
                seen = self.original.run(values)
            except Exception as error:  # whatever the user's code says to a size it does not take
                if index == len(sizes) - 1:
                    return
                raise Rejected("run", f"{size(rows, length)}: {told(error)}") from None
            yield Probe(rows, length, values, seen)

    def _fit_outputs(
        self, probes: tuple[Probe, ...], hypothesis: Hypothesis, sampler: Sampler
    ) -> dict[str, Fitted]:
        """The axes of every output."""
        states = {each.output for each in self.carried}
        found: dict[str, Fitted] = {}

        @cache
        def run_at(time: int) -> Mapping[str, torch.Tensor]:
            try:
                return self.original.run(sampler.draw(hypothesis.batch, time, seed=5)).outputs
            except ForwardFailed:  # whatever the user's code says to a size it does not take
                return {}

        for name in probes[0].seen.outputs:
            sizes = [tuple(probe.seen.outputs[name].shape) for probe in probes]

            def shape_at(time: int, name: str = name) -> tuple[int, ...] | None:
                output = run_at(time).get(name)
                return None if output is None else tuple(output.shape)

            fitted = fit_probes(sizes, probes, shape_at if hypothesis.time else None)
            if fitted is None:
                # With one row it may be a plain axis yet: that is tried next.
                raise Rejected(
                    "rows" if hypothesis.batch else "time",
                    f"{name} has sizes {sizes} at {listed(probes)}",
                )
            whole = fitted.fold == 1 or name in states
            if hypothesis.batch and (BATCH not in fitted.axes or not whole):
                raise Rejected("rows", f"the output {name} has no batch axis")
            found[name] = fitted
        return found


def _batch_place(hypothesis: Hypothesis, name: str) -> int | None:
    """Where the batch axis of an input is, or would have been."""
    if BATCH in hypothesis.axes[name]:
        return hypothesis.axes[name].index(BATCH)
    return hypothesis.pinned.get(name)


def _flag(name: str, axes: Axes) -> str:
    return f"--axes {name}={','.join(map(str, axes))}"


def _answers(outputs: Mapping[str, Fitted], states: Collection[str | None]) -> dict[str, Fitted]:
    """The outputs that are no states; all where there are no others, so that no answer is empty."""
    found = {name: each for name, each in outputs.items() if name not in states}
    return found or {name: each for name, each in outputs.items() if each.fold == 1}
