"""What the caller says about a model, where running it does not tell or tells otherwise."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import torch

from carousel.export.errors import InvalidRequest
from carousel.models.spec import BATCH, TIME, Axis, Dtype

Value = float | int | bool

_MOST_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Stated:
    """Dtype and axes of one input, as the model sees it; `fold` rows of `batch` a session.

    `dtype` is None where the example of a module tells it.
    """

    dtype: Dtype | None
    axes: tuple[Axis, ...]
    fold: int = 1


@dataclass(frozen=True, slots=True)
class Context:
    """How many samples of an input are kept in front of the next; `axis` None: where time runs."""

    samples: int
    axis: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Inputs by name, and what each is.

    `states` names the output that each state comes back as, None where that is to be found; None in
    all means that the states are to be found. `fixed` are states that never change, `sent` inputs
    that clients send whatever they are called. `outputs` are those that are served (all that are no
    states, if none is named), `output_names` what they are called. `initial` holds first values of
    states, `ranges` the lowest and highest value of integer inputs. `tolerance` is the largest
    error in proportion to the largest value, None for what the arithmetic allows. `loop_steps` is
    how long a sequence the proof of a loop takes at least, if that is quick: Python code in it may
    do something else later than a proof looks.
    """

    shapes: Mapping[str, Stated] = field(default_factory=dict)
    constants: Mapping[str, Value] = field(default_factory=dict)
    contexts: Mapping[str, Context] = field(default_factory=dict)
    states: Mapping[str, str | None] | None = None
    fixed: Collection[str] = ()
    sent: Collection[str] = ()
    outputs: Sequence[str] = ()
    output_names: Sequence[str] | None = None
    initial: Mapping[str, torch.Tensor] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    submodule: str | None = None
    batch: bool = True
    tolerance: float | None = None
    loop_steps: int = 4000

    @property
    def axes(self) -> dict[str, tuple[Axis, ...]]:
        """The axes that were stated."""
        return {name: each.axes for name, each in self.shapes.items()}

    @property
    def pairs(self) -> dict[str, str]:
        """The states whose output was named, each with it."""
        return {name: out for name, out in (self.states or {}).items() if out is not None}

    def check_values(self) -> None:
        """Raise InvalidRequest for a value that is none of its kind, whatever the model."""
        for flag, names in (
            ("--fixed", self.fixed),
            ("--sent", self.sent),
            ("--output", self.outputs),
        ):
            if isinstance(names, str):
                raise InvalidRequest(
                    f"{flag}: {names!r} is one name, and names are expected: [{names!r}]"
                )
        for name, stated in self.shapes.items():
            _check_stated(name, stated)
        for name, context in self.contexts.items():
            _check_context(name, context)
        for name, span in self.ranges.items():
            if not (isinstance(span, tuple) and len(span) == 2 and all(map(_is_int, span))):
                raise InvalidRequest(f"--range: {name} needs two integers, not {span!r}")
            if span[0] > span[1]:
                raise InvalidRequest(f"--range: {name} has nothing between {span[0]} and {span[1]}")
        _check_kind("--constant", self.constants, (int, float, bool), "a number")
        _check_kind("--initial", self.initial, (torch.Tensor,), "a tensor")
        if self.output_names is not None:
            names = self.output_names
            if isinstance(names, str) or not all(isinstance(each, str) and each for each in names):
                raise InvalidRequest(f"output_names: a list of names is expected, not {names!r}")
        asked = self.tolerance
        known = asked is None or isinstance(asked, (int, float))
        if not known or (asked is not None and not 0 < asked <= _MOST_TOLERANCE):
            raise InvalidRequest(
                f"--tolerance: {self.tolerance!r} is not above 0 and at most {_MOST_TOLERANCE}: "
                "the largest error in proportion to the largest value"
            )

    def check_names(self, inputs: Collection[str], outputs: Collection[str]) -> None:
        """Raise InvalidRequest for a name that the model has not, or that is two things at once."""
        for flag, names in self.named():
            for name in names:
                if name not in inputs:
                    raise InvalidRequest(
                        f"{flag}: the model has no input {name!r}; it has {', '.join(inputs)}"
                    )
        for flag, names in (("--state", self.pairs.values()), ("--output", self.outputs)):
            for name in names:
                if name not in outputs:
                    raise InvalidRequest(
                        f"{flag}: the model has no output {name!r}; it has {', '.join(outputs)}"
                    )
        self._check_roles()

    def named(self) -> Iterator[tuple[str, Collection[str]]]:
        """The inputs that each flag names."""
        yield "--input", self.shapes
        yield "--constant", self.constants
        yield "--context", self.contexts
        yield "--state", self.pairs
        yield "--fixed", self.fixed
        yield "--sent", self.sent
        yield "--range", self.ranges

    def _check_roles(self) -> None:
        roles = {
            "--constant": set(self.constants),
            "--state": set(self.pairs),
            "--fixed": set(self.fixed),
            "--sent": {*self.sent, *self.contexts},
        }
        seen: dict[str, str] = {}
        for flag, names in roles.items():
            for name in names:
                if name in seen:
                    raise InvalidRequest(f"{flag}: {name!r} is named by {seen[name]} already")
                seen[name] = flag
        for name in self.outputs:
            if list(self.outputs).count(name) > 1:
                raise InvalidRequest(f"--output: {name!r} is named twice")
        if len(set(self.pairs.values())) < len(self.pairs):
            raise InvalidRequest("--state: one output is named for two states")
        for name in self.pairs.values():
            if name in self.outputs:
                raise InvalidRequest(f"--output: {name!r} is named by --state already")


def _check_stated(name: str, stated: object) -> None:
    if not isinstance(stated, Stated):
        raise InvalidRequest(f"--input: {name} needs a Stated, not {stated!r}")
    if stated.dtype is not None and stated.dtype not in get_args(Dtype):
        raise InvalidRequest(
            f"--input: {name}: {stated.dtype!r} is not one of {', '.join(get_args(Dtype))}"
        )
    flag = "axes" if stated.dtype is None else "--input"
    for axis in stated.axes:
        if axis not in (BATCH, TIME) and not _is_size(axis):
            raise InvalidRequest(
                f"{flag}: {axis!r} in {name!r} is neither a size nor {BATCH!r} nor {TIME!r}: "
                f"{stated.axes} are no axes"
            )
    if stated.axes.count(BATCH) > 1 or stated.axes.count(TIME) > 1:
        raise InvalidRequest(
            f"{flag}: {name!r} has one of {BATCH!r} and {TIME!r} twice: {stated.axes} are no axes"
        )
    if not _is_size(stated.fold) or (stated.fold > 1 and BATCH not in stated.axes):
        raise InvalidRequest(
            f"--input: {name}: a fold of {stated.fold!r} is none: rows of {BATCH!r} a session, "
            "from 1 on"
        )


def _check_context(name: str, context: object) -> None:
    if not isinstance(context, Context) or not _is_size(context.samples):
        raise InvalidRequest(f"--context: {name} needs a number of samples from 1 on: {context!r}")
    if context.axis is not None and not (_is_int(context.axis) and context.axis >= 0):
        raise InvalidRequest(f"--context: {name} needs an axis from 0 on, not {context.axis!r}")


def _check_kind(
    flag: str, values: Mapping[str, object], kinds: tuple[type, ...], what: str
) -> None:
    for name, value in values.items():
        if not isinstance(value, kinds):
            raise InvalidRequest(f"{flag}: {name} needs {what}, not {value!r}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: object) -> bool:
    return _is_int(value) and isinstance(value, int) and value > 0
