"""What the caller says about a foreign model where its file does not, or says otherwise."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from carousel.export.errors import InvalidRequest
from carousel.export.sampling import Axes
from carousel.models.spec import Dtype

Value = float | int | bool


@dataclass(frozen=True, slots=True)
class Stated:
    """Dtype and axes of one input, as the model sees it; `fold` rows of `batch` a session."""

    dtype: Dtype
    axes: Axes
    fold: int = 1


@dataclass(frozen=True, slots=True)
class Context:
    """How many samples of an input are kept in front of the next; `axis` None: where time runs."""

    samples: int
    axis: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Inputs by name, and what each is; `states` names the output that each comes back as.

    `sent` are inputs that clients send whatever they are called, `outputs` those that are served
    (all that are no states, if none is named). `initial` holds first values of states.
    """

    shapes: Mapping[str, Stated] = field(default_factory=dict)
    constants: Mapping[str, Value] = field(default_factory=dict)
    contexts: Mapping[str, Context] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    fixed: Collection[str] = ()
    sent: Collection[str] = ()
    outputs: Sequence[str] = ()
    initial: Mapping[str, torch.Tensor] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    submodule: str | None = None
    batch: bool = True

    def check(self, inputs: Collection[str], outputs: Collection[str]) -> None:
        """Raise InvalidRequest for a name that the model has not, or that is two things at once."""
        for flag, names in self._named():
            for name in names:
                if name not in inputs:
                    raise InvalidRequest(
                        f"{flag}: the model has no input {name!r}; it has {', '.join(inputs)}"
                    )
        for flag, names in (("--state", self.states.values()), ("--output", self.outputs)):
            for name in names:
                if name not in outputs:
                    raise InvalidRequest(
                        f"{flag}: the model has no output {name!r}; it has {', '.join(outputs)}"
                    )
        self._check_roles()

    def _named(self) -> Iterator[tuple[str, Collection[str]]]:
        yield "--input", self.shapes
        yield "--constant", self.constants
        yield "--context", self.contexts
        yield "--state", self.states
        yield "--fixed", self.fixed
        yield "--sent", self.sent
        yield "--range", self.ranges

    def _check_roles(self) -> None:
        roles = {
            "--constant": set(self.constants),
            "--state": set(self.states),
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
        if len(set(self.states.values())) < len(self.states):
            raise InvalidRequest("--state: one output is named for two states")
        for name in self.states.values():
            if name in self.outputs:
                raise InvalidRequest(f"--output: {name!r} is named by --state already")
