"""What may be a state: what a run of one step starts from, and what the second step of two has in
its place.
"""

from collections.abc import Collection, Iterator, Mapping

import torch

from carousel.export.lifting.plan import After, Start
from carousel.export.lifting.recording import LAYERS, Call, Recording, Use
from carousel.export.lifting.sites import Key, Site

Options = dict[Start, list[After]]  # for each start the new values that it may have

MANY = 6  # steps of the longest run that is written down
_HELD = "held"
_INPUT = "input"


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two values are the same but for rounding."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    if not one.is_floating_point():
        return torch.equal(one, other)
    relative = 1e-7 if one.dtype == torch.float64 else 1e-4
    return torch.allclose(one, other, rtol=relative, atol=relative / 10, equal_nan=True)


class Candidates:
    """Pairs of a start and a new value, from runs of one step, of another, of two, and of many."""

    def __init__(self, one: Recording, another: Recording, two: Recording, many: Recording) -> None:
        self._one = one
        self._two = two
        self._many = many
        # By value, and exactly: what only looks constant is no start.
        self._starts = [
            key
            for key, value in one.values.items()
            if key.site.function != _INPUT
            and (key.site.function == _HELD or _unmoved(value, another.values.get(key)))
        ]

    def __repr__(self) -> str:
        return f"<Candidates starts={len(self._starts)}>"

    def options(self) -> tuple[Options, Options]:
        """Those made at the site of what stands in their place, and those that equal it only."""
        alike: dict[tuple[Site, int], list[Key]] = {}
        for key in self._one.made():
            alike.setdefault((key.site, key.place), []).append(key)
        second = self._step(self._two, 1)
        certain, likely = Options(), Options()
        for key in self._starts:
            made, made_again = (run.made_from(*self._roots(key)) for run in (self._one, self._two))
            for start, other in self._groups(key, second, made_again):
                taken = self._taken_at(start.uses)
                for tier, keys in (
                    (certain, alike.get((other.site, other.place), [])),
                    (likely, list(self._one.values)),
                ):
                    tier[start] = [
                        each
                        for each in keys
                        if (each in made or each == other)
                        and each not in taken
                        and each != key
                        and self._fits(key, each, other)
                    ]
        for call in self._one.calls:
            certain |= self._layer(call)
        delays = dict(self._delays(certain))
        # Of a value that is the start of several, each stands in its own places.
        split = {start.key for start in delays}
        certain, likely = (
            {_apart(start, split): after for start, after in tier.items()}
            for tier in (certain, likely)
        )
        certain |= {start: [_apart(before, split)] for start, before in delays.items()}
        for key, after in self._shifts():
            certain.setdefault(Start(key), []).append(after)
        return _filled(certain), _filled(likely)

    def moving(self) -> Options:
        """Starts that are made from the inputs of the first step: in the second there stands what
        is made elsewhere.
        """
        alike: dict[tuple[Site, int], list[Key]] = {}
        for key in self._one.made():
            alike.setdefault((key.site, key.place), []).append(key)
        second, found = self._step(self._two, 1), Options()
        for key in [*self._one.made()]:
            groups = self._groups(key, second, self._two.values)
            for start, other in groups if key not in self._starts else ():
                if other.site != key.site:
                    taken = self._taken_at(start.uses)
                    found[start] = [
                        each
                        for each in alike.get((other.site, other.place), [])
                        if each not in taken and each != key and self._fits(key, each, other)
                    ]
        return _filled(found)

    def _step(self, run: Recording, step: int) -> dict[Use, Key]:
        """What a later step of a longer run has, where the first one has a use."""
        one, more = self._one.counts(), run.counts()
        steps = next((more[each] // one[each] for each in one if more.get(each, 0) > one[each]), 1)
        blocks = {
            site: self._block(run, site, count, steps)
            for site, count in one.items()
            if more.get(site) == steps * count
        }
        found: dict[Use, Key] = {}
        for call in run.calls:
            size = blocks.get(call.site)
            if size is None:
                continue
            outer, inner = divmod(call.occurrence, steps * size)
            if inner // size == step:
                occurrence = outer * size + inner % size
                for each in call.taken:
                    if each.key in run.values:
                        found[Use(call.site, occurrence, each.place)] = each.key
        return found

    def _block(self, run: Recording, site: Site, count: int, steps: int) -> int | None:
        """How many calls of a site are of one step before those of the next come: all, or fewer
        where the loop over time is inside of another. The first step shows it by its values.
        """
        for size in range(count, 0, -1):
            if count % size == 0 and all(
                self._agree(
                    Key(site, call),
                    run.values.get(Key(site, call // size * steps * size + call % size)),
                )
                for call in range(count)
            ):
                return size
        return None

    def _agree(self, key: Key, again: torch.Tensor | None) -> bool:
        one = self._one.values.get(key)
        return one is None if again is None else one is not None and same(one, again)

    def _groups(
        self, key: Key, second: Mapping[Use, Key], made_again: Collection[Key]
    ) -> Iterator[tuple[Start, Key]]:
        """The places where a start is taken, by what stands there in the second step: one value
        may be the start of several states.
        """
        groups: dict[Key, list[Use]] = {}
        for use in self._one.uses(key):
            other = second.get(use)
            # What another state starts from is the new value of a state that comes later.
            moves = other in made_again or other in self._starts
            if other is not None and other != key and moves:
                groups.setdefault(other, []).append(use)
        for other, uses in groups.items():
            yield Start(key, tuple(uses), alone=len(groups) == 1), other

    def _delays(self, known: Mapping[Start, object]) -> Iterator[tuple[Start, Start]]:
        """Starts that stand still in the second step, and later take what another state was: of
        filters, which keep several steps.
        """
        owners = {use: start for start in known for use in start.uses}
        shared = {start.key for start in known}
        waiting = {
            (key, use): None for key in shared for use in self._one.uses(key) if use not in owners
        }
        before = self._step(self._many, 1)
        for step in range(2, MANY):
            now = self._step(self._many, step)
            groups: dict[tuple[Key, Start], list[Use]] = {}
            for key, use in list(waiting):
                value = now.get(use)
                if value is None or value == key:
                    continue
                source = next(
                    (u for u, each in before.items() if each == value and u in owners), None
                )
                if source is not None:
                    groups.setdefault((key, owners[source]), []).append(use)
                    del waiting[key, use]
            for (key, owner), uses in groups.items():
                start = Start(key, tuple(uses), alone=False)
                owners |= dict.fromkeys(uses, start)
                yield start, owner
            before = now

    def _roots(self, start: Key) -> list[Key]:
        """What a new value must be computed from: the inputs, or what it is the new value of."""
        return [start, *(key for key in self._one.values if key.site.function == _INPUT)]

    def _taken_at(self, uses: Collection[Use]) -> set[Key]:
        """What stands at these places in any call of the first step: none of it is a new value."""
        places = {(use.site, use.place) for use in uses}
        return {
            each.key
            for call in self._one.calls
            for each in call.taken
            if (call.site, each.place) in places
        }

    def _fits(self, start: Key, key: Key, other: Key) -> bool:
        """Whether `key` is what the second step has as `other`, and as large as `start` may be."""
        first, value = self._one.values[start], self._one.values[key]
        if not _alike(first.dtype, value.dtype) or not same(value, self._two.values[other]):
            return False
        try:
            first.expand(value.shape)
        except RuntimeError:
            return False
        return True

    def _layer(self, call: Call) -> Options:
        """One of torch's own layers goes on with the state that it has left."""
        places = LAYERS.get(call.site.function, 0)
        starts = set(self._starts)
        return {
            Start(each.key, (Use(call.site, call.occurrence, each.place),)): [call.made[each.place]]
            for each in call.taken
            if 1 <= each.place <= places and each.key in starts and each.place < len(call.made)
        }

    def _shifts(self) -> Iterator[tuple[Key, Key]]:
        """What is one step late: the start alone in a run of one step, and with the value of the
        first step behind it in a run of two.
        """
        constant = set(self._starts)  # the start itself among them
        for start in self._starts:
            first, second = self._one.values[start], self._two.values.get(start)
            if second is None or first.dim() != second.dim() or not self._one.uses(start):
                continue
            grown = [axis for axis in range(first.dim()) if first.shape[axis] != second.shape[axis]]
            if len(grown) != 1 or (first.shape[grown[0]], second.shape[grown[0]]) != (1, 2):
                continue
            if not same(second.narrow(grown[0], 0, 1), first):
                continue
            behind = second.narrow(grown[0], 1, 1)
            made, above = self._one.made_from(*self._roots(start)), self._two.made_into(start)
            near = [
                key
                for key, value in self._one.values.items()
                if key in made and key in above and key not in constant and same(value, behind)
            ]
            if near:
                yield start, near[-1]


def _alike(start: torch.dtype, new: torch.dtype) -> bool:
    """Whether they are one, or would be but for a run in float64 of code that says float32."""
    wide = torch.get_default_dtype() == torch.float64
    return start == new or (wide and {start, new} == {torch.float32, torch.float64})


def _apart(start: Start, split: Collection[Key]) -> Start:
    return start._replace(alone=False) if start.key in split else start


def _filled(options: Options) -> Options:
    return {start: keys for start, keys in options.items() if keys}


def _unmoved(one: torch.Tensor, other: torch.Tensor | None) -> bool:
    return (
        other is not None
        and one.shape == other.shape
        and one.dtype == other.dtype
        and bool(torch.equal(one, other))
    )
