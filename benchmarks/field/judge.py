"""The independent check: an artifact's programs beside the untouched module, on fresh inputs.

Whole sequences are compared at lengths and batches that the example did not have, streams one time
step a run and in uneven chunks with the states handed on, and the rows of a batch with other
neighbours. Every tensor that the module returns must be among what the program gives, and nothing
else: they are told apart by shape and value, never by what the exporter calls them.
"""

import copy
import inspect
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.field.case import Case
from benchmarks.field.served import Array, Served
from benchmarks.field.tree import leaves, tensors
from carousel.models.artifact import Artifact

TOLERANCE = 1e-4

_SIZES = ((1, 7), (5, 9), (2, 23), (3, 4), (4, 1))
_NUM_FRAMES = 6
_SEED = 20
_NOISE = 0.1


@dataclass(frozen=True, slots=True)
class Verdict:
    """The largest error in proportion to the largest value; `what` was compared there. `varied`:
    whether other sizes than the example's were served, where the module takes others.
    """

    error: float
    what: str
    varied: bool = True

    @property
    def is_right(self) -> bool:
        """Whether the programs answer as the module does."""
        return self.error <= TOLERANCE


class Judge:
    """Holds a module beside what its export gave. The module is built anew for every call, so that
    nothing of the export and of the calls before is left in it.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._example = (case.batch, case.time if case.carry is None else 1)
        self._parameters = list(inspect.signature(built(case).forward).parameters)
        self._sizes: set[tuple[int, int]] = set()
        self._missed: set[tuple[int, int]] = set()

    def __repr__(self) -> str:
        return f"<Judge {self._case.name!r} sizes={sorted(self._sizes)}>"

    def verdict(self, artifact: Artifact) -> Verdict:
        """What the worst comparison found; an error of infinity where something is missing."""
        found: list[Verdict] = []
        for kind in artifact.manifest.programs:
            checks = self._framed if self._case.carry is not None else self._sequences
            try:
                served = Served(artifact, kind)
                found += [Verdict(each.error, f"{kind}, {each.what}") for each in checks(served)]
            except Exception as error:
                # TorchScript says what happened in its last line.
                text = (str(error).strip().splitlines() or [""])[-1][:200]
                found.append(Verdict(math.inf, f"{kind}: {type(error).__name__}: {text}"))
        if not self._sizes:
            found.append(Verdict(math.inf, "none of the sizes that were tried is served"))
        worst = max(found, key=lambda each: each.error)
        return Verdict(worst.error, worst.what, varied=not self._missed - self._sizes)

    def _sequences(self, served: Served) -> Iterator[Verdict]:
        spec = served.spec
        for batch, time in (*_SIZES, self._example, (1, self._example[1])):
            if time < max(self._case.least, spec.min_sequence):
                continue
            args = self._case.inputs(batch, time)
            inputs, given = self._feeds(served, args)
            try:
                returned = self._eager(args)
            except Exception:  # a size that the module does not take is none to compare at
                continue
            steps = served.steps(inputs, time)
            if not served.takes(inputs, batch) or steps > (spec.max_sequence or steps):
                if _shapes(args) != _shapes(self._case.inputs(batch, self._example[1])):
                    self._missed.add((batch, time))
                continue
            self._sizes.add((batch, time))
            start = served.start(batch, given)
            run = spec.max_run_steps
            ways = [_even(steps, run or steps)]
            if spec.is_streamable:
                ways += [[1] * steps, _even(steps, min(run or 3, 3))]
            for chunks in ways:
                got = served.run(inputs, start, batch, chunks)
                what = f"batch {batch}, time {time} in runs of {chunks[0]}"
                yield _compare(args, returned, got, served.last, what)
            yield from self._neighbours(served, args, got, batch, ways[0])

    def _neighbours(
        self,
        served: Served,
        args: tuple[Any, ...],
        got: Sequence[Array],
        batch: int,
        way: list[int],
    ) -> Iterator[Verdict]:
        """The first row again, beside other rows; skipped where rows cannot be told apart."""
        if batch == 1:
            return
        inputs, given = self._feeds(served, args)
        others, _ = self._feeds(served, self._case.inputs(batch, sum(way)))
        mixed = dict(inputs)
        for each in served.spec.sent_inputs:
            axis = each.batch_axis
            if axis is None or others[each.name].shape != inputs[each.name].shape:
                return
            first = np.take(inputs[each.name], [0], axis)
            rest = np.take(others[each.name], range(1, batch), axis)
            mixed[each.name] = np.concatenate([first, rest], axis)
        again = served.run(mixed, served.start(batch, given), batch, way)
        for spec, one, other in zip(served.spec.outputs, got, again, strict=True):
            if spec.batch_axis is not None:
                pair = (np.take(each, [0], spec.batch_axis) for each in (one, other))
                yield Verdict(_error(*pair), f"batch {batch}, the first row with other neighbours")

    def _framed(self, served: Served) -> Iterator[Verdict]:
        """A module that takes one time step a call, in a loop as its caller writes it."""
        carry = self._case.carry
        assert carry is not None, f"{self._case.name} takes sequences"
        for batch in (1, 4, self._case.batch):
            module, before = built(self._case), None
            states: dict[str, Array] | None = None
            for step in range(_NUM_FRAMES):
                args = self._case.inputs(batch, 1)
                args = args if step == 0 else carry(args, before)
                with torch.no_grad():
                    before = module(*copy.deepcopy(args))
                inputs, given = self._feeds(served, args)
                if not served.takes(inputs | given, batch):
                    self._missed.add((batch, 1))
                    break
                states = served.start(batch, given) if states is None else states
                got = served.frame(inputs, states, batch)
                self._sizes.add((batch, 1))
                yield _compare(args, before, got, states, f"batch {batch}, frame {step}")

    def _eager(self, args: tuple[Any, ...]) -> Any:
        with torch.no_grad():
            return built(self._case)(*copy.deepcopy(args))

    def _feeds(
        self, served: Served, args: tuple[Any, ...]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The tensors of a call as the program's inputs and as first states, by name. A state that
        has another name than its parameter says where it comes from.
        """
        names = (*self._parameters, *[self._parameters[-1]] * len(args))
        found = {
            name: tensor.numpy()
            for root, tree in zip(names, args, strict=False)
            for name, tensor in leaves(tree, root)
        }
        origins = served.origins
        homes = {
            each.name: re.match(r"forward's ([^\s,;]+)", origins.get(each.name, ""))
            for each in served.spec.states
        }
        places = {name: home[1] if home else name for name, home in homes.items()}
        inputs = [each.name for each in served.spec.sent_inputs]
        return (
            {name: found[name] for name in inputs if name in found},
            {name: found[place] for name, place in places.items() if place in found},
        )


def built(case: Case) -> nn.Module:
    """The module of a case, with the same weights each time, and none as it began: many layers
    begin at zeros, and what stands behind them would not show.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(_SEED)
        random.seed(_SEED)
        np.random.seed(_SEED)
        module = case.build().eval()
        for each in module.parameters():
            if each.is_floating_point():
                each.data.add_(_NOISE * torch.randn_like(each))
        return module


def _shapes(args: tuple[Any, ...]) -> list[torch.Size]:
    return [each.shape for each in tensors(args)]


def _even(time: int, steps: int) -> list[int]:
    full, rest = divmod(time, steps)
    return [steps] * full + ([rest] if rest else [])


def _compare(
    args: tuple[Any, ...], returned: Any, got: Sequence[Array], states: dict[str, Array], what: str
) -> Verdict:
    """The largest error of a tensor beside the one that it is nearest to, both ways round. What the
    module returns as it was given need not be among the program's outputs.
    """
    results = tensors(returned)
    news = [each for each in results if not any(map(each.equal, tensors(args)))]
    wanted = [each.detach().numpy() for each in news]
    known = [each.detach().numpy() for each in results]
    given = [*got, *states.values()]
    worst = Verdict(0.0, what)
    for place, each in enumerate(wanted):
        error = min((_error(each, other) for other in given), default=math.inf)
        if not error <= worst.error:
            worst = Verdict(error, f"{what}: tensor {place} of {len(wanted)}")
    for place, other in enumerate(got):
        error = min((_error(each, other) for each in known), default=math.inf)
        if not error <= worst.error:
            worst = Verdict(error, f"{what}: output {place}")
    return worst


def _error(expected: Array, got: Array) -> float:
    """In proportion to the largest value; infinite where shapes differ."""
    if expected.shape != got.shape:
        return math.inf
    if expected.size == 0:
        return 0.0
    one, other = expected.astype(np.float64), got.astype(np.float64)
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return math.inf
    one, other = np.nan_to_num(one), np.nan_to_num(other)
    return float(np.abs(one - other).max() / max(float(np.abs(one).max()), 1e-6))
