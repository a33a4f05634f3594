"""A foreign file, read in one way, as the source of expected values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from carousel.export import flags
from carousel.export.errors import ExportRefused
from carousel.export.files.program import Program
from carousel.export.measured.noise import Draws
from carousel.export.measured.stepper import Result, Stepper
from carousel.export.measured.subject import Given, NotAccepted
from carousel.export.measured.tolerance import Tensors, Tolerance
from carousel.export.programs.faults import RunFailed, fault
from carousel.models.spec import ModelSpec

BY_FLAG = "by flag"  # why a state is one, where the caller says so
_BEFORE = 3  # frames or chunks in front of the golden ones, so that states are not where they start


@dataclass(slots=True)
class FileSubject:
    """A reading of a file. `time` is a length that runs, `why` says of each state what showed it.

    `notes` are worth saying.
    """

    program: Program
    spec: ModelSpec
    draws: Draws
    time: int
    tolerance: Tolerance
    initial: Mapping[str, torch.Tensor] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    noun: str = "file"
    must_be_finite: bool = False
    marks: Collection[float] = ()

    @property
    def stepper(self) -> Stepper:
        """The file itself, run as a session runs it."""
        return Stepper(self.spec, self.program.run, self.program.lengths)

    @property
    def starts_anywhere(self) -> bool:
        """A file takes every state that it has."""
        return True

    @property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """The values that integer inputs may have."""
        return self.draws.spans

    def num_weights(self) -> int:
        """As many as floats fill the file."""
        return self.program.num_bytes // 4

    def draw(self, batch: int, time: int, seed: int, *, anywhere: bool = False) -> Given:
        """Random inputs, and states where sessions start or anywhere that they may be."""
        states = self.draws.states(self.spec, batch, seed + 1) if anywhere else self._first(batch)
        return Given(self.draws.inputs(self.spec, batch, time, seed), states)

    def start(self, given: Given, batch: int) -> Tensors:
        """Where sessions start, in model layout."""
        return self._first(batch)

    def run(self, given: Given) -> Result:
        """The file as it came; raises NotAccepted where the runtime fails."""
        try:
            return self.stepper.run(given.inputs, given.states)
        except RunFailed as error:  # whatever the runtime says to a size that it does not take
            raise NotAccepted(fault(error)) from error

    def after(self, given: Given, batch: int, result: Result) -> Tensors:
        """A file answers with every state that it has."""
        return result.states

    def exact(self, given: Given) -> Result | None:
        """The file with its weights in float64, where that can be done."""
        values = self.program.exact({**given.inputs, **given.states})
        if values is None or any(each.context for each in self.spec.inputs):
            return None
        return Stepper(self.spec, lambda _: values).run(given.inputs, given.states)

    def never_streams(self) -> str | None:
        """Nothing is known of a file without a run."""
        return None

    def explain(self, measured: str) -> str:
        """Nobody knows what the file was made from."""
        return measured

    def settled_states(self, batch: int) -> Tensors:
        """States after a few runs, so that they are not where they start."""
        states = self._first(batch)
        for seed in range(_BEFORE if self.spec.states else 0):
            inputs = self.draws.inputs(self.spec, batch, self.time, seed)
            states = self.stepper.run(inputs, states).states
        return states

    def lengths_that_run(self) -> Sequence[int]:
        """The length that was found to run."""
        return (self.time,)

    def initial_values(self) -> Tensors:
        """What the caller says that states start from."""
        return {
            each.name: self.initial[each.name].reshape(each.session_shape)
            for each in self.spec.states
            if each.has_initial
        }

    def state_id(self) -> str:
        """A hash of the numbers in the file and of the states' spec."""
        return self.program.identity(self.spec)

    def origins(self) -> dict[str, str]:
        """What showed each state to be one."""
        return self.why

    def tools(self) -> Mapping[str, str]:
        """What wrote the file."""
        return self.program.tools

    def refusal(self, what: str, reason: str) -> ExportRefused:
        """Why the file cannot be served."""
        others = [each.name for each in self.spec.outputs if f" {each.name} " not in reason]
        if what not in ("parity", "together") and others:
            return ExportRefused(reason, f"leave it out: {flags.outputs(others)}")
        if self.spec.has_batch:
            return ExportRefused(reason, "say --no-batch, and rows run one by one")
        return ExportRefused(reason, "export it again, so that its sizes follow its inputs alone")

    def _first(self, batch: int) -> Tensors:
        return {each.name: self.draws.start(each, each.fold, batch) for each in self.spec.states}
