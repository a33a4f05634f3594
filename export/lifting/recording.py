"""One run of a forward, written down: every call of torch, what it took and what it made."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

from carousel.export.lifting.sites import Key, Site, frames, name_of, site_of

LAYERS = {"lstm": 2, "gru": 1, "rnn_tanh": 1, "rnn_relu": 1}  # torch's own, and their states
SCRIPTED = "scripted_part"
_UNMADE = Key(Site("elsewhere", ()))


class Use(NamedTuple):
    """Where a value is taken: the `occurrence`-th call at a site, a place among its arguments."""

    site: Site
    occurrence: int
    place: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A tensor that a call takes: its place among the arguments, its key, and itself."""

    place: int
    key: Key
    tensor: torch.Tensor


@dataclass(frozen=True, slots=True)
class Call:
    """A call of torch with what it took and made; `scalars` are its other arguments."""

    site: Site
    occurrence: int
    taken: tuple[Taken, ...]
    made: tuple[Key, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    scalars: tuple[Any, ...]


@dataclass(slots=True)
class Recording:
    """The calls of one run in their order, and every value that it had, as it was when made."""

    values: dict[Key, torch.Tensor]
    calls: list[Call] = field(default_factory=list)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    names: dict[Key, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Recording calls={len(self.calls)}>"

    def made(self) -> Iterator[Key]:
        """What calls made, in the order of the run."""
        return (key for call in self.calls for key in call.made)

    def uses(self, key: Key) -> list[Use]:
        """Where a value is taken, in the order of the run."""
        return [
            Use(call.site, call.occurrence, each.place)
            for call in self.calls
            for each in call.taken
            if each.key == key
        ]

    def counts(self) -> dict[Site, int]:
        """How many calls there were at each site."""
        return Counter(call.site for call in self.calls)

    def scripted(self) -> bool:
        """Whether a part in TorchScript ran, which is one call whatever it does inside."""
        return any(call.site.function == SCRIPTED for call in self.calls)

    def made_from(self, *roots: Key) -> set[Key]:
        """Values that are computed from any of `roots`, themselves included."""
        found = set(roots)
        for call in self.calls:
            if any(each.key in found for each in call.taken):
                found.update(call.made)
        return found

    def made_into(self, key: Key) -> set[Key]:
        """Values that `key` is computed from, itself included."""
        found = {key}
        for call in reversed(self.calls):
            if any(each in found for each in call.made):
                found.update(each.key for each in call.taken)
        return found


class Recorder(TorchFunctionMode):
    """Writes a run down. `known` names the tensors that are there before it, `end` is the code
    that the forward is called from. With `wanted` it notes what the forward calls these values.
    """

    def __init__(
        self,
        known: Mapping[int, tuple[Key, torch.Tensor]],
        end: CodeType,
        wanted: Collection[Key] = (),
    ) -> None:
        super().__init__()
        self.recording = Recording({key: each.detach() for key, each in known.values()})
        self._end = end
        self._wanted = frozenset(wanted)
        self._keys = {address: key for address, (key, _) in known.items()}
        self._alive: list[Any] = [known]  # an id says nothing of a tensor that is gone
        self._counts: dict[Site, int] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_flatten((args, kwargs))[0]
        taken = tuple(
            Taken(place, self._keys.get(id(each), _UNMADE), each)
            for place, each in enumerate(leaves)
            if isinstance(each, torch.Tensor)
        )
        out = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        made = made_by(name, args, out)
        if not any(isinstance(each, torch.Tensor) for each in made):
            return out
        stack = frames(self._end)
        site = site_of(name, stack)
        occurrence = self._counts.get(site, 0)
        self._counts[site] = occurrence + 1
        for each in taken:
            if each.key in self._wanted and each.key not in self.recording.names:
                called = name_of(each.tensor, stack)
                if called is not None:
                    self.recording.names[each.key] = called
        keys: list[Key] = []
        for index, each in enumerate(made):
            if isinstance(each, torch.Tensor):
                key = Key(site, occurrence, index)
                self._keys[id(each)] = key
                self._alive.append(each)
                self.recording.values[key] = each.detach().clone()
                keys.append(key)
        scalars = tuple(each for each in leaves if not isinstance(each, torch.Tensor))
        self.recording.calls.append(
            Call(site, occurrence, taken, tuple(keys), args, kwargs, scalars)
        )
        return out


def made_by(name: str, args: tuple[Any, ...], out: Any) -> list[Any]:
    """What a call makes: writing into a tensor makes a new value of it."""
    return [args[0]] if name == "__setitem__" else tree_flatten(out)[0]
