"""States that `forward` takes as arguments and returns, found by running the module."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from carousel.export.discovery.absent import complete, fed_to
from carousel.export.discovery.naming import is_named_so, is_surely_named
from carousel.export.discovery.pairing import pair_by_name, pair_by_place, plain
from carousel.export.discovery.places import equal, handed_on, held_on
from carousel.export.discovery.returned import output_names
from carousel.export.errors import InvalidRequest
from carousel.export.measured.sampling import noise_like
from carousel.export.module.original import Observation, Original


@dataclass(frozen=True, slots=True)
class Carried:
    """One state tensor among the arguments of `forward`.

    `output` is the tensor it comes back as, None where `forward` keeps it to itself. `layer` and
    `part` (0 for h, 1 for c) name the recurrent layer that it reaches unchanged, if any. `fixed`:
    it is set once a sequence and has no new value. `doubtful`: nothing but its name shows it.
    """

    leaf: str
    output: str | None
    layer: str | None
    part: int
    fixed: bool = False
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class _Run:
    """A run by which states are told: on `values` that are unlike each other. `fixed` are leaves
    that are states already, `declared` parameters that the caller says are; `names` is what forward
    calls its outputs.
    """

    original: Original
    values: dict[str, torch.Tensor]
    seen: Observation
    fixed: frozenset[str]
    declared: frozenset[str]
    names: Mapping[str, str]
    placed: Mapping[str, str]


def find_carried(
    original: Original,
    seen: Observation,
    declared: Mapping[str, str | None] | None,
    fixed: Sequence[Carried] = (),
) -> tuple[Carried, ...]:
    """The states among the arguments; completes the original's signature by optional ones.

    `declared` names the parameters that are states where the caller said so, some with the output
    that is the new value; `fixed` are states that are known already.
    """
    if declared is not None:
        unknown = set(declared) - set(original.signature.parameters.parameters)
        if unknown:
            raise InvalidRequest(f"states: forward has no parameter {sorted(unknown)[0]!r}")
    complete(original, seen, declared)
    values = shaken(original)
    known = frozenset(each.leaf for each in fixed)
    after = original.run(values)
    names = output_names(original.module, after.tree)
    first = original.signature.leaves(next(iter(original.signature.trees)))
    placed = held_on(original, values, after.outputs, names)
    placed |= handed_on(values, after.outputs, [*first, *known], names)
    run = _Run(original, values, after, known, frozenset(declared or ()), names, placed)
    found = list(fixed)
    for parameter in original.signature.trees:
        if declared is None or parameter in declared:
            told = None if declared is None else declared[parameter]
            found += _pair(run, parameter, found, declared is not None, told)
    for parameter in declared or ():
        if parameter not in original.signature.trees:
            raise InvalidRequest(
                f"states: the example gives nothing for {parameter!r}, and nothing that forward "
                "returns serves as its value: give one"
            )
    leaves = list(values)
    return tuple(sorted(found, key=lambda each: leaves.index(each.leaf)))


def shaken(original: Original) -> dict[str, torch.Tensor]:
    """The example with small random numbers in every float tensor but the first parameter's.

    Examples often start every state at zero, and equal tensors could not be told apart.
    """
    generator = torch.Generator().manual_seed(0)
    values = original.signature.tensors()
    first = next(iter(original.signature.trees))
    own = original.signature.leaves(first)
    for leaf in values:
        if leaf not in own and values[leaf].is_floating_point():
            values[leaf] = noise_like(values[leaf], generator, 0.1)
    return values


def _pair(
    run: _Run, parameter: str, found: list[Carried], declared: bool, told: str | None
) -> Iterator[Carried]:
    """The tensors of one parameter as states, if it is one; `told` is the output it comes back as,
    where the caller has said it.
    """
    taken = {each.output for each in found}
    trees = list(run.original.signature.trees)
    sure = declared or is_surely_named(parameter, trees) or _is_renewed(run, parameter, trees)
    signature = run.original.signature
    named = sure or parameter in signature.optional()
    for leaf in signature.leaves(parameter):
        if leaf in run.fixed:
            continue
        if declared and not run.values[leaf].dim():
            raise InvalidRequest(
                f"states: {leaf!r} is one number for all rows; take a tensor with one for each row"
            )
        fed = fed_to(run.seen, run.values[leaf])
        placed = run.placed.get(leaf)
        placed = None if placed in taken else placed
        likely = named or placed is not None
        likely = likely or _comes_back_beside(run, leaf, signature.leaves(parameter))
        output = placed if told is None else _named_output(run, leaf, told, taken)
        if output is None and (fed is not None or likely):
            output = _returned(run, leaf, fed, taken, sure)
        if fed is not None or (output is not None and likely):
            taken.add(output)
            layer, part = fed if fed is not None else (None, 0)
            doubtful = fed is None and placed is None and not declared
            yield Carried(leaf, output, layer, part, doubtful=doubtful)
        elif declared:
            raise InvalidRequest(
                f"states: {leaf!r} is neither returned by forward in the same shape nor the "
                "initial state of a recurrent layer"
            )


def _is_renewed(run: _Run, parameter: str, parameters: Sequence[str]) -> bool:
    """Whether forward returns a variable of the parameter's own name, and none of the first's: two
    that come back so are two streams of a stack.
    """
    names = {plain(each) for each in run.names.values()}
    first = plain(parameters[0])
    return plain(parameter) in names and first not in (plain(parameter), *names)


def _comes_back_beside(run: _Run, leaf: str, beside: Sequence[str]) -> bool:
    """Whether one tensor of a state has its own name among what forward returns, and another of
    them is the state of a layer. What is handed through as it came is none.
    """
    own = leaf.split(".")[-1]
    returned = any(
        name.split(".")[-1] == own and not torch.equal(each, run.values[leaf])
        for name, each in run.seen.outputs.items()
    )
    others = [each for each in beside if each != leaf and not own.isdigit()]
    return returned and any(fed_to(run.seen, run.values[each]) is not None for each in others)


def _named_output(run: _Run, leaf: str, told: str, taken: Collection[str | None]) -> str:
    """The output that the caller calls so: by its key or field, by its place, or in full."""
    value = run.values[leaf]
    short = run.names
    for name in run.seen.outputs:
        if told not in (name, short.get(name), name.removeprefix("output.")):
            continue
        output = run.seen.outputs[name]
        if name in taken:
            raise InvalidRequest(f"states: {told!r} is named for {leaf!r} and for another state")
        if (output.shape, output.dtype) != (value.shape, value.dtype):
            raise InvalidRequest(
                f"states: {told!r} is {tuple(output.shape)} {output.dtype}, and {leaf!r}, which "
                f"should come back as it, {tuple(value.shape)} {value.dtype}"
            )
        return name
    known = ", ".join(short.get(name, name.removeprefix("output.")) for name in run.seen.outputs)
    raise InvalidRequest(f"states: forward returns no {told!r} for {leaf!r}; it returns {known}")


def _returned(
    run: _Run, leaf: str, fed: tuple[str, int] | None, taken: set[str | None], sure: bool
) -> str | None:
    """The output that is the new value of a state: the layer's final one, or the like-shaped."""
    seen, value = run.seen, run.values[leaf]
    known = {*taken, *run.placed.values()}
    free = {name: each for name, each in seen.outputs.items() if name not in known}
    if fed is not None:
        final = seen.calls.layers[fed[0]][-1].final[fed[1]]
        same = [name for name, each in free.items() if equal(final, each)]
        if same:
            # Of one step the answer may be the state: the last is what comes back.
            return same[-1]
    others = () if fed is not None else tuple(_finals(run, leaf))
    alike = [
        name
        for name, each in free.items()
        # What is handed through as it came is no new value.
        if each.shape == value.shape and each.dtype == value.dtype and not equal(value, each)
        if not any(equal(final, each) for final in others)
    ]
    if "output" in alike and (sure or fed is not None):
        return "output"  # all that forward returns: the new state is the answer too
    named = pair_by_name(leaf, alike, run.names)
    if named is not None:
        return named
    if fed is not None or not sure:
        # forward returns its output first and its states last.
        return next((name for name in alike if name != "output.0"), None)
    alone = _alone(run, leaf)
    waiting = [name for name in alone if name == leaf or _is_state(run, name)]
    beside = len(alone) - len(waiting)
    return pair_by_place(run.original, run.values, leaf, alike, len(waiting), beside)


def _finals(run: _Run, leaf: str) -> Iterator[torch.Tensor]:
    """What layers leave of the states that they are given, those of `leaf` left aside."""
    for name, value in run.values.items():
        fed = None if name == leaf else fed_to(run.seen, value)
        if fed is not None:
            yield run.seen.calls.layers[fed[0]][-1].final[fed[1]]


def _is_state(run: _Run, name: str) -> bool:
    return is_named_so(name) or name.split(".", 1)[0] in run.declared


def _alone(run: _Run, leaf: str) -> list[str]:
    """The tensors from `leaf` on, of its shape, that no recurrent layer takes."""
    values = run.values
    leaves = list(values)
    return [
        name
        for name in leaves[leaves.index(leaf) :]
        if values[name].shape == values[leaf].shape
        and values[name].dtype == values[leaf].dtype
        and name not in run.fixed
        and fed_to(run.seen, values[name]) is None
    ]
