"""Everything up to the finished bytes: unwrap, lift, measure, trace, compare."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from carousel.export.build import Builder, Built
from carousel.export.carried import find_carried
from carousel.export.cells import SteppedCell, network_of, of_network, sequence_example
from carousel.export.describe import check_axes, check_stated, describe, name_outputs
from carousel.export.determinism import generators_held, observe_twice, refuse_rewritten
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.fixed import find_fixed
from carousel.export.foreign import refuse_foreign
from carousel.export.judge import refuse_decisions
from carousel.export.layout import Discovery, Layout
from carousel.export.legacy import legacy_quiet
from carousel.export.original import Observation, Original, unwrap
from carousel.export.progress import Progress
from carousel.export.record import make_files, make_manifest
from carousel.export.reference import Reference
from carousel.export.sampling import Axes
from carousel.export.signature import Signature
from carousel.export.spans import find_spans
from carousel.export.states import States, find_states
from carousel.export.threads import one_thread
from carousel.models.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller said beyond the module and its example."""

    axes: Mapping[str, Axes] = field(default_factory=dict)
    output_names: Sequence[str] | None = None
    states: Collection[str] | None = None
    fixed: Collection[str] = ()
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proven:
    """An artifact that is not written yet."""

    manifest: Manifest
    files: dict[str, bytes]


def prove(
    module: nn.Module, example: object, name: str, wishes: Wishes, progress: Progress
) -> Proven:
    """Make the programs of `module` and measure them; raises ExportRefused or InvalidRequest."""
    check_axes(wishes.axes)
    module = unwrap(module)
    refuse_foreign(module)
    with legacy_quiet(), one_thread(), generators_held():
        original, subject = _adapt(module, example)
        with original.held():
            progress.stage("watching the module run")
            seen = observe_twice(original)
            layout, states = _measure(original, seen, wishes)
            if subject is not original.module:
                states = of_network(states)
            outputs = name_outputs(layout, states.variables, wishes.output_names)
            spec = describe(original, layout, states, outputs, wishes.ranges)
            check_stated(wishes.axes, layout, spec)
            for note in layout.notes:
                progress.line(f"{name}: {note}")
            reference = Reference(original, layout, states.variables, spec, outputs)
            built = _build(subject, reference, states, progress)
            assert built.streams is not None
            spec = replace(
                reference.spec,
                streaming=built.streams.kind,
                streaming_reason=built.streams.reason,
            )
            files = make_files(built, reference, spec)
            return Proven(make_manifest(name, module, spec, built, reference), files)


def _build(subject: nn.Module, reference: Reference, states: States, progress: Progress) -> Built:
    """The programs; frame by frame where the trace has unrolled a loop written by hand."""
    try:
        return Builder(subject, reference, states, progress).build()
    except ExportRefused:
        spec = reference.spec
        if not states.variables or not reference.layout.time or spec.run_steps is not None:
            raise
        reference.spec = replace(spec, run_steps=1)
        try:
            return Builder(subject, reference, states, progress).build()
        except ExportRefused:
            reference.spec = spec
        raise


def _adapt(module: nn.Module, example: object) -> tuple[Original, nn.Module]:
    """The original, and the module to trace: itself, or the network equal to a bare cell."""
    if isinstance(module, nn.RNNCellBase):
        stepped = SteppedCell(module)
        signature = Signature.of(stepped, sequence_example(example))
        return Original(stepped, signature), network_of(module)
    return Original(module, Signature.of(module, example)), module


def _measure(original: Original, seen: Observation, wishes: Wishes) -> tuple[Layout, States]:
    """Which axes vary and what the states are."""
    refuse_rewritten(original)
    fixed = find_fixed(original, wishes.fixed, wishes.states)
    carried = find_carried(original, seen, wishes.states, fixed)
    lengths = _find_lengths(original, seen)
    if any(each.leaf == lengths for each in fixed):
        raise InvalidRequest(f"fixed: {lengths!r} says how long each row is in one call of forward")
    optional = set(original.signature.optional())
    changing = {each.leaf.split(".", 1)[0] for each in carried if not each.fixed}
    parameters = changing & optional
    original.omit = frozenset(each for each in parameters if _runs_without(original, each))
    seen = original.run(original.signature.tensors())
    spans = find_spans(original, seen, wishes.ranges, lengths, {each.leaf for each in fixed})
    layout = Discovery(original, carried, lengths, wishes.axes, seen, spans).discover()
    drawn = layout.sampler.draw(layout.batch, layout.time, seed=3)
    constants = {name for name, each in drawn.items() if each.dim() == 0 or name == lengths}
    refuse_decisions(original, drawn, constants)
    return layout, find_states(original, layout, carried)


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
