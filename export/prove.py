"""Everything up to the finished bytes: unwrap, lift, measure, trace, compare."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from carousel.export.artifact.record import Proven, record
from carousel.export.discovery.carried import find_carried
from carousel.export.discovery.counterparts import find_counterparts, question
from carousel.export.discovery.describe import check_stated, describe, name_outputs
from carousel.export.discovery.fixed import find_fixed
from carousel.export.discovery.layout import Discovery, Layout
from carousel.export.discovery.spans import find_spans
from carousel.export.discovery.states import States, find_states
from carousel.export.discovery.subject import ModuleSubject
from carousel.export.errors import ExportRefused, ForwardFailed, InvalidRequest
from carousel.export.legacy import legacy_quiet
from carousel.export.measured.subject import Reference
from carousel.export.measured.tolerance import Tolerance
from carousel.export.module.cells import SteppedCell, network_of, of_network, sequence_example
from carousel.export.module.determinism import generators_held, observe_twice, refuse_rewritten
from carousel.export.module.judge import refuse_decisions
from carousel.export.module.original import Observation, Original, unwrap
from carousel.export.module.signature import Signature
from carousel.export.module.unwatchable import refuse_foreign
from carousel.export.options import Options
from carousel.export.programs.build import Builder, Built
from carousel.export.progress import Progress
from carousel.export.threads import threads_for
from carousel.models.spec import TIME

_DRAWS = 3


def prove(
    module: nn.Module, example: object, name: str, options: Options, progress: Progress
) -> Proven:
    """Make the programs of `module` and measure them; raises ExportRefused or InvalidRequest."""
    options.check_values()
    module = unwrap(module)
    refuse_foreign(module)
    weights = sum(each.numel() for each in module.parameters())
    with legacy_quiet(), threads_for(weights), generators_held():
        original, traced = _adapt(module, example)
        with original.held():
            progress.stage("watching the module run")
            work = _Work(module, original, traced, name, progress)
            found = _measure(original, options)
            if found.ask is not None:
                # As states they may have a time axis after all: a loop written by hand.
                again = work.prove_again(found, options)
                if again is None or not again.manifest.spec.has_time:
                    raise found.ask
                return again
            try:
                proven = work.prove(found, options)
            except ExportRefused:
                again = work.prove_again(found, options)
                if again is None:
                    raise
                return again
            again = None
            if proven.manifest.spec.streaming == "none":
                again = work.prove_again(found, options)
            return again or proven


@dataclass(frozen=True, slots=True)
class _Found:
    """Axes and states; `unsaid` are the parameters that are states with those that may be, if there
    are such, and `ask` asks for them where no run seems to tell.
    """

    signature: Signature
    layout: Layout
    states: States
    unsaid: dict[str, str | None]
    ask: ExportRefused | None


@dataclass(frozen=True, slots=True)
class _Work:
    """One module, and what is traced in its place."""

    module: nn.Module
    original: Original
    traced: nn.Module
    name: str
    progress: Progress

    def prove(self, found: _Found, options: Options) -> Proven:
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
        subject.spec = replace(
            subject.spec, streaming=measured.streaming, streaming_reason=measured.reason
        )
        return record(self.name, subject, built.programs, tuple(_notes(built, reference, layout)))

    def prove_again(self, found: _Found, options: Options) -> Proven | None:
        """The same with what may be states as states; None where that is no stream either."""
        if not found.unsaid:
            return None
        original, said = self.original, replace(options, states=found.unsaid)
        original.signature, original.omit = found.signature, frozenset()
        with suppress(ExportRefused, InvalidRequest):
            proven = self.prove(_measure(original, said), said)
            if proven.manifest.spec.streaming != "none":
                return proven
        return None


def _notes(built: Built, reference: Reference, layout: Layout) -> Iterator[str]:
    """What was not compared, and why."""
    yield from layout.notes
    yield from reference.skipped
    for shortfall in built.shortfalls:
        yield f"left out: {shortfall}"


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
    if isinstance(module, nn.RNNCellBase):
        stepped = SteppedCell(module)
        signature = Signature.of(stepped, sequence_example(example))
        return Original(stepped, signature), network_of(module)
    return Original(module, Signature.of(module, example)), module


def _measure(original: Original, options: Options) -> _Found:
    """Which axes vary, what the states are, and what may be states beside those."""
    signature = original.signature
    seen = observe_twice(original)
    refuse_rewritten(original)
    fixed = find_fixed(original, options.fixed, options.states)
    carried = find_carried(original, seen, options.states, fixed)
    lengths = _find_lengths(original, seen)
    if any(each.leaf == lengths for each in fixed):
        raise InvalidRequest(f"fixed: {lengths!r} says how long each row is in one call of forward")
    optional = set(original.signature.optional())
    changing = {each.leaf.split(".", 1)[0] for each in carried if not each.fixed}
    parameters = changing & optional
    original.omit = frozenset(each for each in parameters if _runs_without(original, each))
    seen = original.run(original.signature.tensors())
    spans = find_spans(original, seen, options.ranges, lengths, {each.leaf for each in fixed})
    layout = Discovery(original, carried, lengths, options.axes, seen, spans).discover()
    drawn = _accepted(original, layout)
    constants = {name for name, each in drawn.items() if each.dim() == 0 or name == lengths}
    refuse_decisions(original, drawn, constants)
    states = find_states(original, layout, carried)
    maybe, ask = find_counterparts(original, layout, carried, options.states), None
    first = original.signature.leaves(next(iter(original.signature.trees)))
    if maybe and not any(TIME in layout.sampler.axes.get(leaf, ()) for leaf in first):
        ask = question(original, states, maybe)
        maybe = maybe if ask is not None else {}
    said = [each.leaf.split(".", 1)[0] for each in carried if not each.fixed] if maybe else []
    unsaid = dict.fromkeys([*said, *(leaf.split(".", 1)[0] for leaf in maybe)])
    return _Found(signature, layout, states, unsaid, ask)


def _accepted(original: Original, layout: Layout) -> dict[str, torch.Tensor]:
    """Drawn values that forward takes; those of the example where it takes no others."""
    for seed in range(3, 3 + _DRAWS):
        drawn = layout.sampler.draw(layout.batch, layout.time, seed)
        with suppress(ForwardFailed):
            original.run(drawn)
            return drawn
    return dict(layout.probes[0].values)


def _find_lengths(original: Original, seen: Observation) -> str | None:
    """The input that says how long each row is: what the module packs by."""
    for calls in seen.calls.layers.values():
        for name, value in original.signature.tensors().items():
            lengths = calls[0].lengths
            if lengths is None or value.shape != lengths.shape or value.is_floating_point():
                continue
            if torch.equal(value.long(), lengths.long()):
                return name
    return None


def _runs_without(original: Original, parameter: str) -> bool:
    try:
        original.run(original.signature.tensors(), {parameter})
    except Exception:  # whatever the user's code says to None
        return False
    return True
