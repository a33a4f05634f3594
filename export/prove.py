"""Everything up to the finished bytes: unwrap, lift, measure, trace, compare."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import torch
from torch import nn

from carousel.export.artifact.record import Proven, record
from carousel.export.discovery.carried import find_carried
from carousel.export.discovery.counterparts import find_counterparts, refuse_unsaid
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
            proven, unsaid = _prove(module, original, traced, name, options, progress)
            if unsaid and proven.manifest.spec.streaming == "none":
                # What may be states: whether they are is seen by running it with them as such.
                with suppress(ExportRefused, InvalidRequest):
                    said = replace(options, states=unsaid)
                    again, _ = _prove(module, original, traced, name, said, progress)
                    if again.manifest.spec.streaming != "none":
                        return again
            return proven


def _prove(
    module: nn.Module,
    original: Original,
    traced: nn.Module,
    name: str,
    options: Options,
    progress: Progress,
) -> tuple[Proven, dict[str, str | None]]:
    """The artifact; and, if some parameters may be states too, those with the ones that are."""
    signature, original.omit = original.signature, frozenset()
    seen = observe_twice(original)
    layout, states, unsaid = _measure(original, seen, options)
    if traced is not original.module:
        states = of_network(states)
    outputs = name_outputs(layout, states.variables, options.output_names)
    spec = describe(original, layout, states, outputs, options.ranges)
    check_stated(options.axes, layout, spec)
    tolerance = Tolerance.of(spec, options.tolerance)
    subject = ModuleSubject(module, original, layout, states, spec, outputs, tolerance)
    reference = Reference(subject)
    built = _build(traced, reference, subject, progress)
    _, measured = built.programs[0]
    subject.spec = replace(
        subject.spec, streaming=measured.streaming, streaming_reason=measured.reason
    )
    notes = tuple(_notes(built, reference, layout))
    proven = record(name, subject, built.programs, notes)
    original.signature = signature
    return proven, unsaid


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


def _measure(
    original: Original, seen: Observation, options: Options
) -> tuple[Layout, States, dict[str, str | None]]:
    """Which axes vary, what the states are, and what may be states beside those."""
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
    maybe = find_counterparts(original, layout, carried, options.states)
    first = original.signature.leaves(next(iter(original.signature.trees)))
    if maybe and not any(TIME in layout.sampler.axes.get(leaf, ()) for leaf in first):
        refuse_unsaid(original, states, maybe)
        maybe = {}
    said = [each.leaf.split(".", 1)[0] for each in carried if not each.fixed] if maybe else []
    return layout, states, dict.fromkeys([*said, *(leaf.split(".", 1)[0] for leaf in maybe)])


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
