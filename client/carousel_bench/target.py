"""The model that is asked: which inputs it takes, and random ones of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel_bench.failure import Failure
from carousel_bench.settings import SEQUENCE, STEP
from carousel_client.errors import BadAnswer
from carousel_client.model import Array, ModelInfo, TensorInfo, read_model

# Of integers that say no bounds: both are inputs of most models.
_BOUNDS = (0, 1)
_STATE_STEPS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """A model. `min_steps`: time steps that a request has at least. `fixed`: states that have to be
    given when a session opens, or a sequence begins.
    """

    model: ModelInfo
    min_steps: int
    fixed: tuple[TensorInfo, ...]

    @property
    def has_sessions(self) -> bool:
        """Whether a session can be opened on it."""
        return self.model.streaming != "none"

    def mix(self) -> dict[str, float]:
        """What is sent to it unless something else is asked for."""
        return {STEP if self.has_sessions else SEQUENCE: 1.0}

    def num_steps(self, wanted: int) -> int:
        """So many time steps, or as near as the model takes; 1 where it has no time axis."""
        if not any(each.has_time for each in self.model.inputs):
            return 1
        return max(self.min_steps, min(wanted, self.model.max_steps))

    def inputs(self, num_steps: int, rng: np.random.Generator) -> dict[str, Array]:
        """Random inputs of so many time steps, by name."""
        return {each.name: draw(each, num_steps, rng) for each in self.model.inputs}

    def state(self, rng: np.random.Generator) -> dict[str, Array]:
        """Random states of those that have to be given, by name."""
        return {each.name: draw(each, _STATE_STEPS, rng) for each in self.fixed}

    def state_for_json(self, seed: int) -> dict[str, Any]:
        """The same as JSON has it."""
        found = self.state(np.random.default_rng(seed))
        return {name: each.tolist() for name, each in found.items()}


def draw(tensor: TensorInfo, num_steps: int, rng: np.random.Generator) -> Array:
    """Random values: standard normal floats, integers within their bounds."""
    shape = (num_steps, *tensor.sizes) if tensor.has_time else tensor.sizes
    if tensor.dtype.kind == "f":
        return rng.standard_normal(shape).astype(tensor.dtype)
    low = _BOUNDS[0] if tensor.low is None else tensor.low
    high = max(low, _BOUNDS[1]) if tensor.high is None else tensor.high
    return rng.integers(low, high, shape, endpoint=True).astype(tensor.dtype)


def choose(models: Sequence[Mapping[str, Any]], name: str | None, *, with_sessions: bool) -> Target:
    """The model of a name; without one the first, if there is one the first with sessions where
    they are wanted. Raises Failure.
    """
    try:
        names = [str(each["name"]) for each in models]
        if not names:
            raise Failure("the server has no model: export one first (carousel-export)")
        if name is not None and name not in names:
            raise Failure(f"the server has no model {name!r}; it has {', '.join(names)}")
        if name is not None:
            return read_target(models[names.index(name)])
        targets = [read_target(each) for each in models]
        fitting = [each for each in targets if each.has_sessions or not with_sessions]
        return (fitting or targets)[0]
    except (BadAnswer, LookupError, TypeError, ValueError):
        raise Failure("what the server says of its models cannot be read") from None


def read_target(document: Mapping[str, Any]) -> Target:
    """A model as the server describes it; raises BadAnswer."""
    model = read_model(document)
    fixed = {each["name"] for each in document["states"] if each.get("fixed")}
    return Target(
        model=model,
        min_steps=int(document.get("min_steps", 1)),
        fixed=tuple(each for each in model.states if each.name in fixed),
    )
