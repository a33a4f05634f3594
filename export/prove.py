"""Everything up to the finished bytes: unwrap, lift, measure, trace, compare."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from torch import nn

from carousel.export.artifact.record import Proven, record
from carousel.export.discovery.describe import check_stated, describe, name_outputs
from carousel.export.discovery.find import Found, find
from carousel.export.discovery.states import LayerRefused
from carousel.export.discovery.subject import ModuleSubject
from carousel.export.errors import ExportRefused, InvalidRequest, MixesSessions, NoProgram
from carousel.export.legacy import legacy_quiet
from carousel.export.lifting.beside import more_states
from carousel.export.lifting.lifter import Lifter, NotLifted
from carousel.export.lifting.search import Search
from carousel.export.lifting.states import lifted_states
from carousel.export.lifting.step import Step
from carousel.export.measured import sums
from carousel.export.measured.subject import Reference
from carousel.export.measured.tolerance import Tolerance
from carousel.export.module.cells import SteppedCell, network_of, of_network, sequence_example
from carousel.export.module.determinism import generators_held
from carousel.export.module.layers import CELLS, recurrent_layers
from carousel.export.module.original import Original, unwrap
from carousel.export.module.signature import Signature
from carousel.export.module.unwatchable import refuse_foreign, unseen
from carousel.export.options import Options, Stated
from carousel.export.programs.build import Builder, Built
from carousel.export.progress import Progress
from carousel.export.threads import kernels_for, threads_for
from carousel.models.spec import TIME


def prove(
    module: nn.Module, example: object, name: str, options: Options, progress: Progress
) -> Proven:
    """Make the programs of `module` and measure them; raises ExportRefused or InvalidRequest."""
    options.check_values()
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
            proven, hidden = work.prove(options), unseen(module)
            if hidden is not None and not proven.manifest.spec.states:
                raise hidden
            return proven


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
            found = find(self.original, options)
        except LayerRefused:
            # Its states may be found as those of forward's own code are.
            search = Search(self.original, signature, options)
            for lifted in self._hidden(options, search, timed=True):
                return lifted
            self.original.signature, self.original.omit = signature, frozenset()
            with suppress(ExportRefused):
                return self._programs(find(self.original, options, whole=True), options)
            raise
        refused, proven = found.ask, None
        if refused is None:
            try:
                proven = self._programs(found, options)
            except ExportRefused as refusal:
                refused = refusal
            if proven is not None and _streams(proven):
                return self._beside(found, options) or proven
        for reading in found.others:
            self.original.signature, self.original.omit = signature, frozenset()
            said = replace(options, states=reading.states)
            try:
                again = self._programs(find(self.original, said), said)
            except MixesSessions as refusal:
                refused = refusal  # it says more than that nothing holds
                continue
            except (ExportRefused, InvalidRequest):
                continue
            # A question is answered by time alone: frame by frame every reading holds.
            holds = again.manifest.spec.streaming != "none"
            if holds and (found.ask is None or again.manifest.spec.has_time):
                return again
            if reading.plainer and proven is not None:
                proven = again
        # What looks over its steps and carries a state is no stream of frames for that.
        carries = proven is not None and proven.manifest.spec.states and not options.states
        framed = None if carries else self._framed(found, signature, options)
        if framed is not None:
            return framed
        if not _is_whole(proven) and _hides(found, self.module):
            search = Search(self.original, signature, options)
            for lifted in self._hidden(options, search):
                return lifted
            if proven is not None and not proven.manifest.spec.has_time and not options.axes:
                refused = search.refusal()
                proven = proven if refused is None else None
            elif search.mixes is not None or isinstance(refused, NoProgram):
                refused = search.refusal() or refused
        if proven is None:
            assert refused is not None
            raise refused
        return proven

    def _beside(self, found: Found, options: Options) -> Proven | None:
        """The programs with more states than torch's own layers and cells have, if forward's code
        keeps some beside them that proofs may not reach (a count of thousands of active steps).
        """
        known, layout = found.states.variables, found.layout
        if not (known and layout.time and _hides(found, self.module)) or options.states is not None:
            return None
        if not more_states(self.original, layout):
            return None
        self.progress.stage("looking for states beside those of layers")
        with suppress(NotLifted, ExportRefused):
            states = lifted_states(Lifter(self.original, layout).lift(), layout)
            if len(states.variables) > len(known):
                proven = self._programs(Found(layout, states, (), None), options)
                return proven if _streams(proven) else None
        return None

    def _framed(self, found: Found, signature: Signature, options: Options) -> Proven | None:
        """The stream of an example of one step whose length is no length: a frame, beside caches
        that a sequence would not fit.
        """
        example = self.original.signature.tensors()
        frames = {
            name: Stated(None, tuple(1 if axis == TIME else axis for axis in axes))
            for name, axes in found.layout.sampler.axes.items()
            if TIME in axes and example[name].shape[axes.index(TIME)] == 1
        }
        given = len(signature.trees) > 1 and not _reads_both_ways(found, self.module)
        if not frames or not given or options.axes:
            return None
        self.original.signature, self.original.omit = signature, frozenset()
        said = replace(options, shapes=frames)
        with suppress(ExportRefused, InvalidRequest):
            again = find(self.original, said)
            proven = self._programs(again, said) if again.ask is None else None
            if proven is not None and proven.manifest.spec.states and _streams(proven):
                return proven
        return None

    def _hidden(self, options: Options, search: Search, *, timed: bool = False) -> Iterator[Proven]:
        """The programs of a forward whose own code hides its states; with `timed` only if nothing
        is sent to it but sequences.
        """
        if options.states is not None:
            return
        self.progress.stage("looking for states in forward's own code")
        for layout, states in search.found():
            if not timed or all(TIME in axes for axes in layout.sampler.axes.values()):
                try:
                    yield self._programs(Found(layout, states, (), None), options)
                except MixesSessions as refusal:
                    search.mixes = refusal
                except ExportRefused as refusal:
                    search.reason = search.reason or refusal.reason

    def _programs(self, found: Found, options: Options) -> Proven:
        """The programs of what was found, measured."""
        original, layout, states = self.original, found.layout, found.states
        if self.traced is not original.module:
            states = of_network(states)
        outputs = name_outputs(layout, states.variables, options.output_names)
        spec = describe(original, layout, states, outputs, options.ranges)
        check_stated(options.axes, layout, spec)
        tolerance = Tolerance.of(spec, options.tolerance)
        subject = ModuleSubject(self.module, original, layout, states, spec, outputs, tolerance)
        reference = Reference(subject, loop_steps=options.loop_steps)
        built = _build(self.traced, reference, subject, self.progress)
        _, measured = built.programs[0]
        subject.spec = measured.told(subject.spec)
        notes = built.notes(subject, reference)
        if isinstance(states.step, Step) and states.step.sums:
            self.progress.stage("summing up for ten thousand steps")
            notes += sums.told(built.programs[0][0], reference)
        return record(self.name, subject, built.programs, notes)


def _streams(proven: Proven) -> bool:
    return proven.manifest.spec.streaming != "none"


def _is_whole(proven: Proven | None) -> bool:
    """Whether sequences of every length are answered as such, with one answer each."""
    spec = None if proven is None else proven.manifest.spec
    return spec is not None and spec.has_time and all(each.per != "step" for each in spec.outputs)


def _hides(found: Found, module: nn.Module) -> bool:
    """Whether nothing but forward's own code may have states that are not known: no argument is
    one, and no layer reads from both ends.
    """
    explicit = any(each.argument is not None for each in found.states.variables)
    alone = not explicit and not _reads_both_ways(found, module)
    return alone and found.layout.sampler.lengths is None


def _reads_both_ways(found: Found, module: nn.Module) -> bool:
    layers, ran = recurrent_layers(module), found.layout.probes[0].seen.calls.layers
    return any(getattr(layers.get(path), "bidirectional", False) for path in ran)


def _build(
    traced: nn.Module, reference: Reference, subject: ModuleSubject, progress: Progress
) -> Built:
    """The programs; frame by frame where the trace has unrolled a loop written by hand."""
    try:
        return Builder(traced, reference, subject, progress).build()
    except MixesSessions:
        raise
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
