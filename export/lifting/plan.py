"""What a lifted forward keeps between steps, and the forward run one step with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from carousel.export.lifting.recording import Use, made_by
from carousel.export.lifting.scans import At, Scan
from carousel.export.lifting.sites import Key, Site, frames, site_of


class Start(NamedTuple):
    """A value that a run of one step starts from, in the places where it is taken. Where it is not
    `alone`, the same value is the start of other states in other places.
    """

    key: Key
    uses: tuple[Use, ...] = ()
    alone: bool = True


After = Key | Start


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a run of one step starts, and the value that the next step starts from: one that the
    run makes, or what another state was.

    `begins`: the start is made from the inputs of the first step, which a state beside tells.
    """

    start: Start
    after: After
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The states of a forward: of each pair one, of each that begins whether it has begun, then of
    each scan as many as it keeps.

    With `copies` the forward runs so many steps that are all the same, and only the last counts:
    what the second last has left is the state, and starts at zeros. `apart`: the first step is one
    of its own (`h = f(x[:, 0])`, and a loop over the others), which leaves the starts.
    """

    pairs: tuple[Pair, ...] = ()
    scans: tuple[Scan, ...] = ()
    copies: int = 1
    apart: bool = False

    def __len__(self) -> int:
        return self._first_kept() + sum(len(each.names()) for each in self.scans)

    def source(self, pair: Pair) -> Key | None:
        """The value that a pair takes at last, over those that it is handed on by; None where one
        of them is no state.
        """
        after, pairs = pair.after, {each.start: each.after for each in self.pairs}
        for _ in self.pairs:
            if isinstance(after, Key):
                break
            if after not in pairs:
                return None
            after = pairs[after]
        return after if isinstance(after, Key) else None

    def begun(self, states: Sequence[torch.Tensor]) -> dict[Pair, torch.Tensor]:
        """Whether each pair that begins has begun, from all states."""
        pairs = [pair for pair in self.pairs if pair.begins]
        return dict(zip(pairs, states[len(self.pairs) :], strict=False))

    def first(self) -> "Plan":
        """The first step by itself, of a plan that has it apart."""
        nowhere = Site("nowhere", ())
        return Plan(
            tuple(
                Pair(Start(Key(nowhere, place), (), False), pair.start.key)
                for place, pair in enumerate(self.pairs)
            ),
            self.scans,
        )

    def _first_kept(self) -> int:
        return len(self.pairs) + sum(pair.begins for pair in self.pairs)

    def kept(self, states: Sequence[torch.Tensor]) -> dict[At, tuple[torch.Tensor, ...]]:
        """The states of each scan, from all."""
        found: dict[At, tuple[torch.Tensor, ...]] = {}
        place = self._first_kept()
        for each in self.scans:
            size = len(each.names())
            found[each.at] = tuple(states[place : place + size])
            place += size
        return found


class Substitution(TorchFunctionMode):
    """Puts `states` where a run of one step starts, and takes what the next one starts from.

    `given` are the inputs by key, `held` the keys of the module's own tensors by identity; `end` is
    the code that the forward is called from.
    """

    def __init__(
        self,
        plan: Plan,
        states: Sequence[torch.Tensor],
        given: Mapping[Key, torch.Tensor],
        held: Mapping[int, Key],
        end: CodeType,
    ) -> None:
        super().__init__()
        self._end = end
        pairs = list(zip(plan.pairs, states, strict=False))
        self._whole = {pair.start.key: each for pair, each in pairs if pair.start.alone}
        self._placed = {
            (pair.start.key, use): each
            for pair, each in pairs
            if not pair.start.alone
            for use in pair.start.uses
        }
        self._begun = plan.begun(states)
        self._flags = {pair.start.key: flag for pair, flag in self._begun.items()}
        shared = {key for key, _ in self._placed}
        self._held = {at: self._whole[key] for at, key in held.items() if key in self._whole}
        self._shared = {at: key for at, key in held.items() if key in shared}
        self._alive: list[Any] = []  # an id says nothing of a tensor that is gone
        self._wanted = {pair.after for pair in plan.pairs if isinstance(pair.after, Key)}
        self._before = {pair.start: each for pair, each in pairs}
        self._found = {key: each for key, each in given.items() if key in self._wanted}
        self._plan = plan
        self._scans = {each.at: each for each in plan.scans}
        self._kept = plan.kept(states)
        self._counts: dict[Site, int] = {}

    def after(self) -> tuple[torch.Tensor, ...]:
        """The new states; raises KeyError for one that the run did not make."""
        new = [
            self._found[pair.after] if isinstance(pair.after, Key) else self._before[pair.after]
            for pair in self._plan.pairs
        ]
        begun = [torch.ones_like(flag) for flag in self._begun.values()]
        return (*new, *begun, *(each for scan in self._plan.scans for each in self._kept[scan.at]))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        site = site_of(name, frames(self._end))
        if self._held or self._shared:
            leaves, tree = tree_flatten((args, kwargs))
            occurrence = self._counts.get(site, 0)
            put = [
                self._put(Use(site, occurrence, place), each) for place, each in enumerate(leaves)
            ]
            if any(one is not other for one, other in zip(put, leaves, strict=True)):
                args, kwargs = tree_unflatten(put, tree)
        at = (site, self._counts.get(site, 0))
        if at in self._scans:
            scan, copies = self._scans[at], self._plan.copies
            out, self._kept[at] = scan.step(self._kept[at], func, args, kwargs, copies)
        else:
            out = func(*args, **kwargs)
        made = made_by(name, args, out)
        if not any(isinstance(each, torch.Tensor) for each in made):
            return out
        self._counts[site] = at[1] + 1
        replaced = False
        for index, each in enumerate(made):
            key = Key(site, at[1], index)
            if key in self._wanted:
                self._found[key] = self._whole.get(key, each)
            if key in self._whole:
                made[index] = self._stead(key, self._whole[key], each)
                replaced = True
            elif any(key == shared for shared, _ in self._placed):
                self._shared[id(each)] = key
                self._alive.append(each)
        if not replaced:
            return out
        if name == "__setitem__":
            args[0].copy_(made[0])
            return out
        return tree_unflatten(made, tree_flatten(out)[1])

    def _put(self, use: Use, leaf: Any) -> Any:
        """What a call gets for one of its arguments."""
        if id(leaf) in self._held:
            return self._held[id(leaf)]
        key = self._shared.get(id(leaf))
        if key is None or (key, use) not in self._placed:
            return leaf
        return self._stead(key, self._placed[key, use], leaf)

    def _stead(self, key: Key, state: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """What stands in the place of a start: the state, or in the first step what it is."""
        flag = self._flags.get(key)
        return state if flag is None else torch.where(flag, state, own)
