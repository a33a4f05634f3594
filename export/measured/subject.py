"""What is exported, whatever it is made of: a module of this process, or a file of somebody else's.

Expected values come from it alone. `Reference` runs it at any size, each size once.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import Protocol

import torch

from carousel.export.errors import ExportRefused
from carousel.export.measured.stepper import Result
from carousel.export.measured.tolerance import Off, Tensors, Tolerance, largest
from carousel.models.spec import ModelSpec

LONG = 1000  # steps, more than most memories and tables of positions have
_LONGEST, _LONGEST_S = 20_000, 3.0  # steps, and seconds, of a run that looks for what comes late
_TRIES = 5  # numbers of which one may be the longest sequence that there is
_MOST_WORK = 8e9  # weights times steps times rows by eight; small models never come near


class NotAccepted(Exception):
    """The subject does not take inputs of this size; the message is its own."""


@dataclass(frozen=True, slots=True)
class Given:
    """What one run is given; a state that is not among `states` starts where the subject has it."""

    inputs: Tensors
    states: Tensors


class Subject(Protocol):
    """A model as it came. `noun` is what sentences call it."""

    spec: ModelSpec
    noun: str
    tolerance: Tolerance
    must_be_finite: bool  # whether NaN in an output is a fault of it
    marks: Collection[float]  # the numbers that it compares values with; NaN if it asks for that

    @property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """The values that integer inputs may have."""

    @property
    def starts_anywhere(self) -> bool:
        """Whether a run may be given every state."""

    def num_weights(self) -> int:
        """How many numbers a step computes with."""

    def draw(self, batch: int, time: int, seed: int, *, anywhere: bool = False) -> Given:
        """Inputs of this size (0: no such axis); with `anywhere` states other than the first."""

    def start(self, given: Given, batch: int) -> Tensors:
        """Every state as a run on `given` starts with it."""

    def run(self, given: Given) -> Result:
        """One run; raises NotAccepted with the reason where it takes no such inputs."""

    def after(self, given: Given, batch: int, result: Result) -> Tensors:
        """Every state after the run that gave `result`."""

    def exact(self, given: Given) -> Result | None:
        """The same run in float64; None where there is no such run."""

    def never_streams(self) -> str | None:
        """Why it is no stream, where that is known without a run in chunks."""

    def explain(self, measured: str) -> str:
        """Why chunks differ from the whole, or there are no states, as well as it can be said."""

    def settled_states(self, batch: int) -> Tensors:
        """States as they are after a while, as far as `starts_anywhere` says that they may be
        given; what never changes is among them.
        """

    def lengths_that_run(self) -> Sequence[int]:
        """Time steps of runs that are known to work, the best for an example first."""

    def initial_values(self) -> Tensors:
        """First values of states that are not zeros, as one session has them."""

    def state_id(self) -> str:
        """What a saved state fits: a hash of the weights and the states' spec."""

    def origins(self) -> dict[str, str]:
        """How each state was found, in words."""

    def tools(self) -> Mapping[str, str]:
        """What made it, where that is known."""

    def refusal(self, what: str, reason: str) -> ExportRefused:
        """The refusal of it, with the way out; `what`: `shape`, `finite`,
        `values` (sizes that depend on values) or `parity`.
        """


@dataclass(frozen=True, slots=True)
class Expected:
    """What went in at one size, what the subject made of it, and the subject, for its rounding."""

    batch: int
    time: int
    given: Given
    states: Tensors
    result: Result
    subject: Subject
    _rounding: list[dict[str, Off]] = field(init=False, repr=False, default_factory=list)

    @property
    def inputs(self) -> Tensors:
        """The inputs of the run."""
        return self.given.inputs

    def tensors(self) -> Tensors:
        """Everything that a program must give as well."""
        return self.result.all()

    def rounding(self) -> dict[str, Off]:
        """How far each tensor is off the same run in float64, which is made once; nothing where
        there is none.
        """
        if not self._rounding:
            self._rounding.append(self._off())
        return self._rounding[0]

    def _off(self) -> dict[str, Off]:
        exact = self.subject.exact(self.given)
        if exact is None:
            return {}
        # forward may make numbers of one precision by itself (.float()).
        wanted = {name: each.double() for name, each in exact.all().items()}
        return {
            name: Off(largest({name: wanted[name]}, {name: each.double()}), wanted[name])
            for name, each in self.tensors().items()
            if each.is_floating_point() and wanted[name].shape == each.shape
        }


@dataclass(slots=True)
class Reference:
    """Runs the subject; `skipped` lists the sizes that were not, and why.

    Every program is compared with the same runs: none is made twice. `long` is how many steps a
    long sequence has, `loop_steps` how many one of a loop has at least, `pace` how many seconds of
    CPU time (a busy machine proves as much as an idle one) a step of the longest run took, `steps`
    are numbers in the code, `ends` the runs at many lengths, and `settings` those with other
    integers, once there are some.
    """

    subject: Subject
    long: int = LONG
    loop_steps: int = 0
    pace: float = 0.0
    steps: Collection[int] = ()
    ends: "list[Expected] | None" = None
    settings: "dict[str, Expected] | None" = None
    skipped: list[str] = field(default_factory=list)
    _known: dict[tuple[int, int, int], Expected | None] = field(default_factory=dict)
    _ran: dict[bytes, Expected] = field(default_factory=dict)
    _longest: int = 0

    def at(self, batch: int, time: int, draw: int = 0) -> Expected | None:
        """The subject at this size; None where it does not accept it (listed in `skipped`).

        `draw` counts different inputs of one size. Three rows start anywhere, the other sizes where
        sessions start.
        """
        key = batch, time, draw
        if key not in self._known and self.costs_too_much(batch, time):
            weights = f"{self.subject.num_weights():,} weights"
            self.skipped.append(f"not run: {size(batch, time)}, for the {weights} of the model")
            self._known[key] = None
        if key not in self._known:
            seed = 1000 * batch + time + 10**6 * draw
            given = self.subject.draw(batch, time, seed, anywhere=batch == 3)
            try:
                self._known[key] = self.run(given, batch, time)
            except NotAccepted as error:
                if draw == 0:
                    noun = self.subject.noun
                    self.skipped.append(f"not accepted by the {noun}: {size(batch, time)}: {error}")
                self._known[key] = None
        return self._known[key]

    def takes(self, time: int) -> bool:
        """Whether one row of so many steps is accepted; also where it would cost too much to
        tell. Nothing is listed.
        """
        batch = int(self.subject.spec.has_batch)
        if self.costs_too_much(batch, time):
            return True
        key = batch, time, 0
        if key not in self._known:
            try:
                self._known[key] = self.run(self.subject.draw(batch, time, time), batch, time)
            except (NotAccepted, ExportRefused):  # an answer of another size is none
                self._known[key] = None
        return self._known[key] is not None

    def costs_too_much(self, batch: int, time: int) -> bool:
        """Whether a run would take seconds: eight rows cost about as much as one."""
        return self.subject.num_weights() * max(time, 1) * max(batch / 8, 1) > _MOST_WORK

    def run(self, given: Given, batch: int, time: int) -> Expected:
        """The subject on `given`; raises NotAccepted, and ExportRefused where outputs are none."""
        key = _content(given)
        if key not in self._ran:
            began = process_time()
            result = self.subject.run(given)
            if time > self._longest:
                self._longest, self.pace = time, (process_time() - began) / time
            expected = self.told(given, batch, time, result)
            self._check(expected)
            self._ran[key] = expected
        return self._ran[key]

    def look_beyond(self, steps: Collection[int]) -> None:
        """Let a long sequence reach beyond each of these steps, as far as that takes seconds."""
        further = sorted(each for each in steps if self.long <= each <= _LONGEST)
        if not further or not self.takes(self.long):
            return
        affordable = int(_LONGEST_S / max(self.pace, 1e-9))
        within = [each for each in further if each < affordable]
        beyond = min(affordable, further[-1]) if len(within) < len(further) else 0
        several = ([beyond] if beyond else []) + [each + 2 for each in reversed(within)]
        for time in several[:_TRIES]:
            if time > self.long and self.takes(time):
                self.long = time
                break
        if beyond:
            self.skipped.append(f"not run: more than {self.long:,} steps, which take too long")

    def told(self, given: Given, batch: int, time: int, result: Result) -> Expected:
        """What the subject made of `given`, whatever it is."""
        states = {**self.subject.start(given, batch), **given.states}
        return Expected(batch, time, given, states, result, self.subject)

    def _check(self, expected: Expected) -> None:
        spec = self.subject.spec
        at = size(expected.batch, expected.time)
        # Of fewer steps than it is known to answer, another answer is none.
        short = 0 < expected.time < self.subject.lengths_that_run()[-1]
        for each in spec.outputs:
            output = expected.result.outputs[each.name]
            wanted = each.model_shape(expected.batch, each.num_steps(expected.time))
            if each.stride is not None and 0 in wanted:
                raise NotAccepted(f"too few steps for one of the output {each.name}")
            if tuple(output.shape) != wanted and short:
                raise NotAccepted(f"the output {each.name} is {tuple(output.shape)}")
            if tuple(output.shape) != wanted or 0 in output.shape:
                raise self.subject.refusal(
                    "shape",
                    f"the output {each.name} is {tuple(output.shape)} at {at}, where {wanted} was "
                    "expected: it loses, merges or cuts an axis",
                )
            if self.subject.must_be_finite and not bool(torch.isfinite(output).all()):
                if short or any(map(_is_mask, expected.inputs.values())):  # which may cover all
                    raise NotAccepted(f"the output {each.name} is not finite")
                raise self.subject.refusal(
                    "finite", f"the output {each.name} is not finite at {at}"
                )


def _content(given: Given) -> bytes:
    """A hash of everything that a run is given."""
    found = hashlib.blake2b()
    for name, each in (*given.inputs.items(), ("", None), *given.states.items()):
        found.update(f"{name} ".encode())
        if each is not None:
            found.update(f"{each.dtype} {tuple(each.shape)} ".encode())
            found.update(each.contiguous().flatten().view(torch.uint8).numpy().data)
    return found.digest()


def _is_mask(tensor: torch.Tensor) -> bool:
    return bool(((tensor == 0) | (tensor == 1)).all())


def size(batch: int, time: int) -> str:
    """Sizes of a run as sentences have them."""
    return f"B={max(batch, 1)} T={max(time, 1)}"


def only(values: Tensors, names: Collection[str]) -> Tensors:
    """The tensors of these names."""
    return {name: each for name, each in values.items() if name in names}
