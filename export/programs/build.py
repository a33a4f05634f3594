"""Programs from one trace, each measured; what falls short is left out and said."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import onnx
import torch

from carousel.export.discovery.describe import lengths_name
from carousel.export.discovery.subject import ModuleSubject
from carousel.export.errors import ExportRefused, NoProgram, first_line
from carousel.export.measured.cases import FallsShort
from carousel.export.measured.parity import Measured, Meter
from carousel.export.measured.seldom import Seldom
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import NotAccepted, Reference
from carousel.export.measured.tolerance import TOLERANCE
from carousel.export.module.constants import sizes, whole_numbers
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import RunFailed, fault
from carousel.export.programs.lift import Lifted
from carousel.export.programs.numbers import compared_with, ids_of_tables, longest_cut
from carousel.export.programs.onnx import Port, export_graph, finish
from carousel.export.programs.runtime import load_call
from carousel.export.programs.trace import Traced, script_bytes, trace
from carousel.export.progress import Progress
from carousel.models.manifest import ProgramKind

_TRACE_BATCH = 3

_LOOP = "forward loops over the time steps, and stepping it one at a time does not give the same: "
_NO_LOOP = (
    "take every state that the loop keeps as an argument of forward and return its new value, use "
    "a recurrent layer instead of the loop, export the module of a single step, or fix the length "
    "with `axes`"
)
_SHARP = "ask for a larger tolerance, or for none, "
_UNSORTED = "pack with enforce_sorted=False where forward sorts the rows, "


@dataclass(slots=True)
class Built:
    """The programs that held with what was measured of each, and why others did not."""

    programs: list[tuple[Candidate, Measured]] = field(default_factory=list)
    shortfalls: list[str] = field(default_factory=list)

    def notes(self, subject: ModuleSubject, reference: Reference) -> tuple[str, ...]:
        """What programs do otherwise, what was not compared, and why."""
        settled = (
            f"forward decides by values at {line}: programs go on as after {answer}, which is "
            "right for all"
            for line, answer in subject.original.answers.items()
        )
        left_out = (f"left out: {shortfall}" for shortfall in self.shortfalls)
        return (*settled, *subject.layout.notes, *reference.skipped, *left_out)


class Builder:
    """Makes the trace of `traced` once, both programs from it, and measures each."""

    def __init__(
        self, traced: torch.nn.Module, reference: Reference, subject: ModuleSubject, tell: Progress
    ) -> None:
        self._traced = traced
        self._reference = reference
        self._subject = subject
        self._progress = tell
        self._spec = subject.spec
        self._layout = subject.layout
        self._original = subject.original
        # A step of its own has rows of one step.
        self._lengths = None if subject.found.step else self._layout.sampler.lengths
        self._seldom: Seldom | None = None
        self._own_lengths = self._lengths and lengths_name(self._spec, self._lengths)
        self._inputs = [Port(each.name, each.axes) for each in self._spec.inputs]
        self._inputs += [Port(each.name, each.axes, each.fold) for each in self._spec.states]
        self._outputs = [Port(each.name, each.axes) for each in self._spec.outputs]
        self._outputs += [
            Port(each.output, each.axes, each.fold)
            for each in self._spec.states
            if each.output is not None
        ]

    def build(self) -> Built:
        """Both programs, measured; raises ExportRefused where neither holds."""
        built = Built()
        self._progress.stage("tracing")
        lifted = self._lifted()
        example = self._example()
        made = self._trace(lifted, example)
        traced, kept = made.module, made.kept
        compared = compared_with(traced) | self._original.compared
        self._subject.marks = compared.union(ids_of_tables(traced))
        if self._spec.has_time:
            self._reference.long = max(self._reference.long, longest_cut(traced) * 5 // 4)
            numbers = {int(each) for each in compared if each == each // 1}
            numbers |= whole_numbers(self._original.module)
            # A layer says by its weights how large it is; of a loop any number may be a period.
            loops = self._spec.run_steps is not None
            numbers = numbers if loops else numbers - sizes(self._original.module)
            self._reference.steps = frozenset(numbers)
            if loops:
                numbers |= {self._reference.loop_steps}
            self._reference.look_beyond(numbers)
        self._progress.stage("proving the TorchScript program")
        self._keep(built, self._scripts(traced, built))
        self._progress.stage("making and proving the ONNX program")
        self._keep(built, self._graphs(traced, example, built))
        if not built.programs and self._spec.run_steps is not None:
            raise ExportRefused(_LOOP + "; ".join(built.shortfalls), _NO_LOOP)
        if not built.programs:
            where = f" (a trace keeps what {', '.join(kept[:3])} gave at once)" if kept else ""
            sharp = self._subject.tolerance.relative < TOLERANCE
            raise NoProgram(
                "no program equals the module: " + "; ".join(built.shortfalls) + where,
                f"{_SHARP if sharp else ''}{_UNSORTED if self._own_lengths is not None else ''}"
                "keep sizes out of Python in forward (x.shape is fine, len(x), int(x.shape[0]) and "
                "loops over them are not) or fix the length with `axes`, and let no result depend "
                "on anything but the inputs and the state",
            )
        return built

    def _trace(self, lifted: torch.nn.Module, example: list[torch.Tensor]) -> Traced:
        try:
            with self._original.restored(), self._original.settled():
                self._check_leaks(lifted, example)
            with self._original.restored(), self._original.settled():
                return trace(lifted, example)
        except ExportRefused:
            raise
        except Exception as error:  # whatever the user's code says to a state from outside
            raise ExportRefused(
                f"forward cannot be traced with its state from outside: {first_line(error)}",
                "let recurrent layers take their initial state as torch's own do (input, hx=None)",
            ) from error

    def _lifted(self) -> torch.nn.Module:
        states = self._subject.found
        if states.step is not None:
            return states.step
        return Lifted(
            self._traced,
            self._original.signature,
            [each.name for each in self._spec.inputs],
            list(self._subject.outputs),
            states.variables,
            states.alone,
            sorted(self._omit()),
            self._lengths,
        )

    def _omit(self) -> set[str]:
        states = self._subject.states
        kept = {each.argument for each in states if each.argument is not None}
        return set(self._original.omit) - {each.split(".", 1)[0] for each in kept}

    def _example(self) -> list[torch.Tensor]:
        """What the trace is made on; one time step where forward loops over them."""
        batch = _TRACE_BATCH if self._layout.batch else 0
        for time in self._subject.lengths_that_run():
            given = self._subject.draw(batch, time if self._layout.time else 0, seed=1)
            try:
                self._subject.run(given)
            except NotAccepted:  # a module may not take so short a sequence
                continue
            break
        states = {**self._subject.start(given, batch), **given.states}
        tensors = [given.inputs[each.name] for each in self._spec.inputs]
        tensors += [states[each.name] for each in self._spec.states]
        if self._lengths is not None:
            tensors.append(torch.full((max(batch, 1),), time, dtype=torch.int32))
        return tensors

    def _check_leaks(self, lifted: torch.nn.Module, example: list[torch.Tensor]) -> None:
        """State in attributes may feed nothing but recurrent layers, which are fed from outside."""
        if self._subject.found.step is not None:
            return  # what it keeps in attributes is among its states
        if not any(probe.seen.changed for probe in self._layout.probes):
            return
        clean = lifted(*example)
        dirty = lifted(*(each + 1 if each.is_floating_point() else each for each in example))
        again = lifted(*example)
        del dirty
        if not all(map(torch.equal, clean, again)):
            name = self._layout.probes[0].seen.changed[0]
            raise ExportRefused(
                f"the state in the attribute {name!r} feeds more than a recurrent layer",
                "take it as an argument of forward and return its new value",
            )

    def _scripts(
        self, traced: torch.jit.ScriptModule, built: Built
    ) -> Iterator[Callable[[], Candidate]]:
        for freeze in (True, False):
            try:
                data = script_bytes(traced, freeze)
            except Exception as error:  # what TorchScript cannot write
                built.shortfalls.append(f"torchscript: {first_line(error)}")
                return
            yield partial(self._candidate, "torchscript", data, self._own_lengths)

    def _graphs(
        self, traced: torch.jit.ScriptModule, example: list[torch.Tensor], built: Built
    ) -> Iterator[Callable[[], Candidate]]:
        """ONNX programs, the most able first: with lengths, with held outputs, plain."""
        if any(each.dtype == torch.float16 for each in self._traced.parameters()):
            # It ends the process where it meets one (onnxruntime 1.31, while it loads).
            built.shortfalls.append("onnx: ONNX Runtime has no float16 recurrent layers on the CPU")
            return
        inputs = list(self._inputs)
        if self._own_lengths is not None:
            inputs.append(Port(self._own_lengths, ("batch",)))
        try:
            graph = export_graph(traced, self._traced, example, inputs, self._outputs)
        except Exception as error:  # an operator without an ONNX form
            built.shortfalls.append(f"onnx: {first_line(error)}")
            return
        if self._own_lengths is not None:
            yield partial(self._graph, graph, inputs, None, False, self._own_lengths)
            return
        if self._layout.batch and self._layout.time and self._spec.run_steps is None:
            lengths = lengths_name(self._spec, None)
            for held in (False, True):
                yield partial(self._graph, graph, inputs, lengths, held, lengths)
        yield partial(self._graph, graph, inputs, None, False, None)

    def _graph(
        self,
        graph: onnx.ModelProto,
        inputs: list[Port],
        wired: str | None,
        held: bool,
        lengths: str | None,
    ) -> Candidate:
        try:
            data = finish(graph, inputs, self._outputs, wired, held)
        except Exception as error:  # torch wrote a graph that is none
            raise FallsShort(f"onnx: {first_line(error)}") from error
        return self._candidate("onnx", data, lengths)

    def _candidate(self, kind: ProgramKind, data: bytes, lengths: str | None) -> Candidate:
        try:
            call = load_call(kind, data, self._spec, lengths)
        except Exception as error:  # a runtime's own error: it has no such operator
            raise FallsShort(f"{kind}: {fault(error)}") from error
        stepper = Stepper(self._spec, call, lengths)
        # Where Python decides by values it would go another way than programs do.
        plain = self._lengths == self._layout.sampler.lengths and not self._original.answers
        if kind == "torchscript" and plain:
            self._seldom = Seldom(stepper, self._reference)
        return Candidate(kind, data, stepper, self._seldom)

    def _keep(self, built: Built, candidates: Iterator[Callable[[], Candidate]]) -> None:
        """The first candidate that holds; one with wired lengths must be ragged-exact."""
        shortfall = None
        for make in candidates:
            try:
                candidate = make()
            except FallsShort as error:
                shortfall = str(error)
                continue
            wired = candidate.lengths is not None and self._own_lengths is None
            try:
                measured = Meter(candidate, self._reference, self._progress.detail).measure(
                    wired=wired
                )
                self._agree(built, candidate, measured)
            except FallsShort as error:
                shortfall = shortfall if wired else str(error)
                continue
            except RunFailed as error:  # at a size or values that nobody expected it to refuse
                shortfall = shortfall if wired else f"{candidate.kind}: {fault(error)}"
                continue
            built.programs.append((candidate, measured))
            return
        if shortfall is not None:
            built.shortfalls.append(shortfall)

    def _agree(self, built: Built, candidate: Candidate, measured: Measured) -> None:
        """The programs of one artifact stream alike; a loop is served frame by frame or not."""
        if self._spec.run_steps is not None and measured.streaming == "none":
            raise FallsShort(f"{candidate.kind}: {measured.reason}")
        if built.programs and built.programs[0][1].streaming != measured.streaming:
            raise FallsShort(
                f"{candidate.kind}: streams as {measured.streaming}, the other program as "
                f"{built.programs[0][1].streaming}"
            )
