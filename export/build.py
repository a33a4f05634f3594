"""Programs from one trace, each measured; what falls short is left out and said."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx
import torch

from carousel.export import padding, streaming, verify
from carousel.export.describe import lengths_name
from carousel.export.errors import ExportRefused, first_line
from carousel.export.lift import Lifted
from carousel.export.onnx import Port, export_graph, finish
from carousel.export.programs import Candidate, load_onnx, load_torchscript
from carousel.export.progress import Progress
from carousel.export.reference import Reference
from carousel.export.states import States
from carousel.export.streaming import Streams
from carousel.export.torchscript import script_bytes, trace
from carousel.models.manifest import ParityCase

_TRACE_BATCH = 3
_TRACE_TIME = 4


@dataclass(slots=True)
class Built:
    """The programs that held, the streaming kind they share, and every comparison made."""

    candidates: list[Candidate] = field(default_factory=list)
    cases: list[ParityCase] = field(default_factory=list)
    streams: Streams | None = None
    shortfalls: list[str] = field(default_factory=list)


class Builder:
    """Makes the trace once, both programs from it, and measures each."""

    def __init__(
        self, subject: torch.nn.Module, reference: Reference, states: States, progress: Progress
    ) -> None:
        self._subject = subject
        self._reference = reference
        self._states = states
        self._progress = progress
        self._spec = reference.spec
        self._layout = reference.layout
        self._original = reference.original
        own = self._layout.sampler.lengths
        self._own_lengths = None if own is None else lengths_name(self._spec, own)
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
        traced = self._trace(lifted, example)
        self._progress.stage("measuring the TorchScript program")
        self._keep(built, self._scripts(traced))
        self._progress.stage("making the ONNX program")
        self._keep(built, self._graphs(traced, example, built))
        if not built.candidates and self._spec.run_steps is not None:
            raise ExportRefused(
                "forward loops over the time steps, and stepping it one at a time does not give "
                "the same: " + "; ".join(built.shortfalls),
                "use a recurrent layer instead of the loop, or export the module of a single step",
            )
        if not built.candidates:
            raise ExportRefused(
                "no program equals the module: " + "; ".join(built.shortfalls),
                "keep sizes out of Python in forward (x.shape is fine, int(x.shape[0]) is not), "
                "and let no result depend on anything but the inputs and the state",
            )
        return built

    def _trace(self, lifted: Lifted, example: list[torch.Tensor]) -> torch.jit.ScriptModule:
        try:
            with self._original.restored():
                self._check_leaks(lifted, example)
            with self._original.restored():
                return trace(lifted, example)
        except ExportRefused:
            raise
        except Exception as error:  # whatever the user's code says to a state from outside
            raise ExportRefused(
                f"forward cannot be traced with its state from outside: {first_line(error)}",
                "let recurrent layers take their initial state as torch's own do (input, hx=None)",
            ) from error

    def _lifted(self) -> Lifted:
        return Lifted(
            self._subject,
            self._original.signature,
            [each.name for each in self._spec.inputs],
            list(self._reference.outputs),
            self._states.variables,
            self._states.alone,
            sorted(self._omit()),
            self._layout.sampler.lengths,
        )

    def _omit(self) -> set[str]:
        kept = {each.argument for each in self._states.variables if each.argument is not None}
        return set(self._original.omit) - {each.split(".", 1)[0] for each in kept}

    def _example(self) -> list[torch.Tensor]:
        """What the trace is made on; one time step where forward loops over them."""
        batch = _TRACE_BATCH if self._layout.batch else 0
        time = (self._spec.run_steps or _TRACE_TIME) if self._layout.time else 0
        for length in (time, *(probe.time for probe in self._layout.probes)):
            values = self._layout.sampler.draw(batch, length, seed=1)
            try:
                self._original.run(values)
            except Exception:  # a module may not take so short a sequence
                continue
            break
        states = [self._reference.start(each, values, batch) for each in self._states.variables]
        tensors = [values[each.name] for each in self._spec.inputs] + states
        if self._layout.sampler.lengths is not None:
            tensors.append(values[self._layout.sampler.lengths].to(torch.int32))
        return tensors

    def _check_leaks(self, lifted: Lifted, example: list[torch.Tensor]) -> None:
        """State in attributes may feed nothing but recurrent layers, which are fed from outside."""
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

    def _scripts(self, traced: torch.jit.ScriptModule) -> Iterator[Candidate]:
        for freeze in (True, False):
            data = script_bytes(traced, freeze)
            runner = load_torchscript(data)
            yield Candidate("torchscript", data, self._spec, self._own_lengths, runner)

    def _graphs(
        self, traced: torch.jit.ScriptModule, example: list[torch.Tensor], built: Built
    ) -> Iterator[Candidate]:
        """ONNX programs, the most able first: with lengths, with held outputs, plain."""
        if any(each.dtype == torch.float16 for each in self._subject.parameters()):
            # It ends the process where it meets one (onnxruntime 1.31, while it loads).
            built.shortfalls.append("onnx: ONNX Runtime has no float16 recurrent layers on the CPU")
            return
        inputs = list(self._inputs)
        if self._own_lengths is not None:
            inputs.append(Port(self._own_lengths, ("batch",)))
        try:
            graph = export_graph(traced, self._subject, example, inputs, self._outputs)
        except Exception as error:  # an operator without an ONNX form
            built.shortfalls.append(f"onnx: {first_line(error)}")
            return
        if self._own_lengths is not None:
            yield self._graph(graph, inputs, None, False, self._own_lengths)
            return
        if self._layout.batch and self._layout.time and self._spec.run_steps is None:
            lengths = lengths_name(self._spec, None)
            for held in (False, True):
                yield self._graph(graph, inputs, lengths, held, lengths)
        yield self._graph(graph, inputs, None, False, None)

    def _graph(
        self,
        graph: onnx.ModelProto,
        inputs: list[Port],
        wired: str | None,
        held: bool,
        lengths: str | None,
    ) -> Candidate:
        data = finish(graph, inputs, self._outputs, wired, held)
        return Candidate("onnx", data, self._spec, lengths, load_onnx(data))

    def _keep(self, built: Built, candidates: Iterator[Candidate]) -> None:
        """The first candidate that holds; one with wired lengths must be ragged-exact."""
        shortfall = None
        for candidate in candidates:
            ragged = padding.measure(candidate, self._reference)
            if candidate.lengths is not None and not ragged and not self._own_lengths:
                continue
            try:
                cases = verify.whole(candidate, self._reference)
                self._stream(built, candidate, cases)
            except verify.FallsShort as error:
                shortfall = str(error)
                continue
            candidate.ragged = "exact" if ragged else "equal_length"
            built.candidates.append(candidate)
            built.cases += [*cases, *ragged]
            return
        if shortfall is not None:
            built.shortfalls.append(shortfall)

    def _stream(self, built: Built, candidate: Candidate, cases: list[ParityCase]) -> None:
        streams = streaming.measure(candidate, self._reference, self._states)
        if built.streams is None:
            streaming.refuse_unservable(streams, self._spec.run_steps)
            built.streams = streams
        elif built.streams.kind != streams.kind:
            raise verify.FallsShort(
                f"{candidate.kind}: streams as {streams.kind}, the other program as "
                f"{built.streams.kind}"
            )
        cases += streams.cases
