"""Recurrent policies: an example of observations alone, and actions that are not drawn."""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_PACKAGE = "sb3_contrib"
_DRAWS = "deterministic"  # the parameter that says whether actions are drawn


@dataclass(frozen=True, slots=True)
class Called:
    """What forward is called with, and in words what was chosen for the caller."""

    example: object
    notes: tuple[str, ...] = ()


def called(module: nn.Module, example: object) -> Called:
    """The example of a recurrent policy, completed; any other as it is.

    Of observations alone the states and the flag of a beginning are zeros, as when an agent sets
    out. Actions are the likeliest ones unless the example says otherwise (`deterministic`).
    """
    if not any(each.__module__.partition(".")[0] == _PACKAGE for each in type(module).__mro__):
        return Called(example)
    names = list(inspect.signature(module.forward).parameters)
    if names[:3] != ["obs", "lstm_states", "episode_starts"] or _DRAWS not in names:
        return Called(example)
    if isinstance(example, Mapping) and set(example) <= set(names):
        values = dict(example)
    else:
        several = example if isinstance(example, tuple) else (example,)
        values = dict(zip(names, several, strict=False))
    notes: list[str] = []
    if set(values) == {"obs"}:
        values |= _beginning(module, values["obs"])
        notes.append("the policy's states and episode_starts begin at zeros")
    if _DRAWS not in values:
        values[_DRAWS] = True
        notes.append("the likeliest action is taken; deterministic=False in the example draws one")
    return Called(tuple(values[name] for name in names if name in values), tuple(notes))


def _beginning(module: nn.Module, obs: Any) -> dict[str, Any]:
    """The states of as many agents as there are observations, and that nothing has begun."""
    first = next(iter(obs.values())) if isinstance(obs, Mapping) else obs
    held: Any = module
    layers, _, size = held.lstm_hidden_state_shape
    zeros = [torch.zeros(layers, len(first), size) for _ in range(4)]
    kinds: Any = sys.modules[f"{_PACKAGE}.common.recurrent.type_aliases"]
    states = kinds.RNNStates(tuple(zeros[:2]), tuple(zeros[2:]))
    return {"lstm_states": states, "episode_starts": torch.zeros(len(first))}
