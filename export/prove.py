"""Everything up to the finished bytes: unwrap, lift, measure, trace, compare."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from carousel.export.artifact.record import Proven, record
from carousel.export.discovery.carried import Carried, find_carried
from carousel.export.discovery.counterparts import (
    Reading,
    find_counterparts,
    question,
    question_of_order,
    readings,
)
from carousel.export.discovery.describe import check_stated, describe, name_outputs
from carousel.export.discovery.discover import Discovery
from carousel.export.discovery.fixed import find_fixed
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.spans import find_spans
from carousel.export.discovery.states import LayerRefused, States, find_states
from carousel.export.discovery.subject import ModuleSubject
from carousel.export.errors import ExportRefused, ForwardFailed, InvalidRequest
from carousel.export.legacy import legacy_quiet
from carousel.export.lifting.search import Search
from carousel.export.measured.subject import Reference
from carousel.export.measured.tolerance import Tolerance
from carousel.export.module.cells import SteppedCell, network_of, of_network, sequence_example
from carousel.export.module.determinism import generators_held, observe_twice, refuse_rewritten
from carousel.export.module.judge import judge_decisions
from carousel.export.module.layers import CELLS, recurrent_layers
from carousel.export.module.original import Observation, Original, unwrap
from carousel.export.module.signature import Signature
from carousel.export.module.unwatchable import refuse_foreign
from carousel.export.options import Options
from carousel.export.programs.build import Builder, Built
from carousel.export.progress import Progress
from carousel.export.threads import kernels_for, threads_for
from carousel.models.spec import TIME

_DRAWS = 3


def prove(
    module: nn.Module, example: object, name: str, options: Options, progress: Progress
) -> Proven:
    """Make the programs of `module` and measure them; raises ExportRefused or InvalidRequest."""
    options.check_values()
    if not isinstance(module, nn.Module):
        raise InvalidRequest(f"an nn.Module is expected, not {type(module).__name__}")
    module = unwrap(module)
    if any(isinstance(each, nn.parameter.UninitializedParameter) for each in module.parameters()):
        raise InvalidRequest("the module has lazy layers: call it once on the example first")
    refuse_foreign(module)
    weights = sum(each.numel() for each in module.parameters())
    quick = kernels_for(module, weights)
    with legacy_quiet(), threads_for(weights), quick, generators_held():
        original, traced = _adapt(module, example)
        with original.held():
            progress.stage("watching the module run")
            work = _Work(module, original, traced, name, progress)
            return work.prove(options)


@dataclass(frozen=True, slots=True)
class _Found:
    """Axes and states. `others` are other readings of what the states are, the likeliest first;
    `ask` asks for them where no run seems to tell.
    """

    layout: Layout
    states: States
    others: tuple[Reading, ...]
    ask: ExportRefused | None


@dataclass(frozen=True, slots=True)
class _Work:
    """One module, and what is traced in its place."""

    module: nn.Module
    original: Original
    traced: nn.Module
    name: str
    progress: Progress

    def prove(self, options: Options) -> Proven:
        """What streams, of the first reading of its states or of another; else the first, or the
        first other that can be proven.
        """
        signature = self.original.signature
        try:
            found = _measure(self.original, options)
        except LayerRefused:
            # Its states may be found as those of forward's own code are.
            search = Search(self.original, signature, options)
            for lifted in self._hidden(options, search, timed=True):
                return lifted
            self.original.signature, self.original.omit = signature, frozenset()
            with suppress(ExportRefused):
                return self._programs(_measure(self.original, options, whole=True), options)
            raise
        refused, proven = found.ask, None
        if refused is None:
            try:
                proven = self._programs(found, options)
            except ExportRefused as refusal:
                refused = refusal
            if proven is not None and proven.manifest.spec.streaming != "none":
                return proven
        for reading in found.others:
            self.original.signature, self.original.omit = signature, frozenset()
            said = replace(options, states=reading.states)
            with suppress(ExportRefused, InvalidRequest):
                again = self._programs(_measure(self.original, said), said)
                # A question is answered by time alone: frame by frame every reading holds.
                holds = again.manifest.spec.streaming != "none"
                if holds and (found.ask is None or again.manifest.spec.has_time):
                    return again
                if reading.plainer and proven is not None:
                    proven = again
        if not _is_whole(proven) and _hides(found, self.module):
            search = Search(self.original, signature, options)
            for lifted in self._hidden(options, search):
                return lifted
            if proven is not None and not proven.manifest.spec.has_time and not options.axes:
                refused = search.refusal()
                proven = proven if refused is None else None
        if proven is None:
            assert refused is not None
            raise refused
        return proven

    def _hidden(self, options: Options, search: Search, *, timed: bool = False) -> Iterator[Proven]:
        """The programs of a forward whose own code hides its states; with `timed` only if nothing
        is sent to it but sequences.
        """
        if options.states is not None:
            return
        self.progress.stage("looking for states in forward's own code")
        for layout, states in search.found():
            if not timed or all(TIME in axes for axes in layout.sampler.axes.values()):
                with suppress(ExportRefused):
                    yield self._programs(_Found(layout, states, (), None), options)

    def _programs(self, found: _Found, options: Options) -> Proven:
        """The programs of what was found, measured."""
        original, layout, states = self.original, found.layout, found.states
        if self.traced is not original.module:
            states = of_network(states)
        outputs = name_outputs(layout, states.variables, options.output_names)
        spec = describe(original, layout, states, outputs, options.ranges)
        check_stated(options.axes, layout, spec)
        tolerance = Tolerance.of(spec, options.tolerance)
        subject = ModuleSubject(self.module, original, layout, states, spec, outputs, tolerance)
        reference = Reference(subject)
        built = _build(self.traced, reference, subject, self.progress)
        _, measured = built.programs[0]
        subject.spec = measured.told(subject.spec)
        return record(self.name, subject, built.programs, built.notes(subject, reference))


def _is_whole(proven: Proven | None) -> bool:
    """Whether sequences of every length are answered as such, with one answer each."""
    spec = None if proven is None else proven.manifest.spec
    return spec is not None and spec.has_time and all(each.per != "step" for each in spec.outputs)


def _hides(found: _Found, module: nn.Module) -> bool:
    """Whether nothing but forward's own code may have states that are not known: no argument is
    one, and no layer reads from both ends.
    """
    layers, ran = recurrent_layers(module), found.layout.probes[0].seen.calls.layers
    both_ways = any(getattr(layers.get(path), "bidirectional", False) for path in ran)
    explicit = any(each.argument is not None for each in found.states.variables)
    return not explicit and not both_ways and found.layout.sampler.lengths is None


def _build(
    traced: nn.Module, reference: Reference, subject: ModuleSubject, progress: Progress
) -> Built:
    """The programs; frame by frame where the trace has unrolled a loop written by hand."""
    try:
        return Builder(traced, reference, subject, progress).build()
    except ExportRefused:
        spec = subject.spec
        if not spec.states or not spec.has_time or spec.run_steps is not None:
            raise
        subject.spec = replace(spec, run_steps=1)
        try:
            return Builder(traced, reference, subject, progress).build()
        except ExportRefused:
            subject.spec = spec
        raise


def _adapt(module: nn.Module, example: object) -> tuple[Original, nn.Module]:
    """The original, and the module to trace: itself, or the network equal to a bare cell."""
    if isinstance(module, CELLS):
        stepped = SteppedCell(module)
        signature = Signature.of(stepped, sequence_example(example))
        return Original(stepped, signature), network_of(module)
    return Original(module, Signature.of(module, example)), module


def _measure(original: Original, options: Options, *, whole: bool = False) -> _Found:
    """Which axes vary, what the states are, and what else they may be.

    With `whole` the state of a layer that is called several times is none.
    """
    seen = observe_twice(original)
    refuse_rewritten(original)
    fixed = find_fixed(original, options.fixed, options.states)
    carried = find_carried(original, seen, options.states, fixed)
    _refuse_written(original, seen, carried)
    lengths = _find_lengths(original, seen)
    if any(each.leaf == lengths for each in fixed):
        raise InvalidRequest(f"fixed: {lengths!r} says how long each row is in one call of forward")
    layout = _lay_out(original, carried, lengths, options)
    grown = [each for each in carried if TIME in layout.states.get(each.leaf, ())]
    if grown:
        # Called a state, and as long as time: it is an input.
        carried = tuple(each for each in carried if each not in grown)
        layout = _lay_out(original, carried, lengths, options)
    given = original.signature.tensors().items()
    constants = {name for name, each in given if each.dim() == 0 or name == lengths}
    judge_decisions(original, _accepted(original, layout), constants)
    states = find_states(original, layout, carried, whole=whole)
    maybe = find_counterparts(original, layout, carried, options.states)
    first = original.signature.leaves(next(iter(original.signature.trees)))
    ask = None
    if not any(TIME in layout.sampler.axes.get(leaf, ()) for leaf in first):
        ask = question(original, states, maybe) or question_of_order(
            layout, carried, options.states
        )
        maybe = maybe if ask is not None else {}
    others = () if options.states is not None else tuple(readings(layout, carried, maybe))
    return _Found(layout, states, others, ask)


def _lay_out(
    original: Original, carried: Sequence[Carried], lengths: str | None, options: Options
) -> Layout:
    """The axes, with the states that may be left out left out."""
    optional = set(original.signature.optional())
    changing = {each.leaf.split(".", 1)[0] for each in carried if not each.fixed}
    parameters = changing & optional
    original.omit = frozenset(each for each in parameters if _runs_without(original, each))
    seen = original.run(original.signature.tensors())
    fixed = {each.leaf for each in carried if each.fixed}
    spans = find_spans(original, seen, options.ranges, lengths, fixed)
    return Discovery(original, tuple(carried), lengths, options.axes, seen, spans).discover()


def _refuse_written(original: Original, seen: Observation, carried: Sequence[Carried]) -> None:
    """A tensor beside the first that forward writes into is a state that nothing returns."""
    first = original.signature.leaves(next(iter(original.signature.trees)))
    known = {*first, *(each.leaf for each in carried)}
    for leaf in seen.written:
        if leaf not in known:
            raise ExportRefused(
                f"forward writes into {leaf!r}, and a program's inputs stay what they are",
                f"work on a copy of it, and return its new value, as {leaf!r} in a dict or a "
                "NamedTuple",
            )


def _accepted(original: Original, layout: Layout) -> Iterator[dict[str, torch.Tensor]]:
    """Drawn values that forward takes, and those of the example."""
    for seed in range(3, 3 + _DRAWS):
        drawn = layout.sampler.draw(layout.batch, layout.time, seed)
        with suppress(ForwardFailed):
            original.run(drawn)
            yield drawn
    yield dict(layout.probes[0].values)


def _find_lengths(original: Original, seen: Observation) -> str | None:
    """The input that says how long each row is: what the module packs by."""
    for calls in seen.calls.layers.values():
        for name, value in original.signature.tensors().items():
            lengths = calls[0].lengths
            if lengths is None or value.shape != lengths.shape or value.is_floating_point():
                continue
            if torch.equal(value.long().sort().values, lengths.long().sort().values):
                return name
    return None


def _runs_without(original: Original, parameter: str) -> bool:
    try:
        original.run(original.signature.tensors(), {parameter})
    except Exception:  # whatever the user's code says to None
        return False
    return True
