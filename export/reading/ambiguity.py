"""Pairs in doubt: every way to pair them, and refusals of those that only the caller can tell."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

from carousel.export import flags
from carousel.export.errors import ExportRefused
from carousel.export.reading.names import is_state, likeliest, told

_MOST = 720  # ways that are run


class Doubt(ExportRefused):
    """Nothing but the caller can tell which output is which state's: of each state in `doubtful`
    one of those.
    """

    doubtful: Mapping[str, Sequence[str]] = {}
    misfits: Mapping[str, str] = {}
    everything = False

    def explained(self, made: Mapping[str, Sequence[str]]) -> "Doubt":
        """The same with what each output is made of; what is made of a state itself is
        proposed first."""
        own = {
            name: [each for each in outputs if name in made.get(each, ())]
            for name, outputs in self.doubtful.items()
        }
        first: dict[str, str] = {}
        for name in sorted(own, key=lambda each: len(own[each])):  # who has no choice comes first
            free = [each for each in own[name] if each not in first.values()]
            first |= {name: free[0]} if free else {}
        doubtful = {
            name: list(dict.fromkeys([*([first[name]] if name in first else []), *outputs]))
            for name, outputs in self.doubtful.items()
        }
        told = "".join(
            f"; {output} is made of {' and '.join(inputs) or 'no input'}"
            for output, inputs in made.items()
        )
        return Doubt(self.reason + told, _say(doubtful, self.misfits, everything=self.everything))


def choices(doubtful: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """The ways, no output in two pairs; what is not called a state may be none.

    Raises Doubt where there are too many, of which a part would show nothing, or none.
    """
    ways = list(itertools.islice(_ways(list(doubtful.items()), {}), _MOST + 1))
    if len(ways) > _MOST:
        raise _uncounted(doubtful)
    found = [each for each in ways if each is not None]
    if not found:
        raise _too_few(doubtful)
    return found


def undecided(
    doubtful: Mapping[str, Sequence[str]], misfits: Mapping[str, str], *, everything: bool
) -> Doubt:
    """Names do not tell, and there is no time axis; `misfits` says what is almost a candidate.

    `everything`: nothing else is left for clients to send.
    """
    listed = "; ".join(
        f"{name} from {', '.join(outputs)}" + (f" ({misfits[name]})" if name in misfits else "")
        for name, outputs in doubtful.items()
    )
    found = Doubt(
        "names do not tell which output is the new value of which state, and without a time axis "
        f"no run can: {listed}",
        _say(doubtful, misfits, everything=everything),
    )
    found.doubtful, found.misfits, found.everything = doubtful, misfits, everything
    return found


def _uncounted(doubtful: Mapping[str, Sequence[str]]) -> Doubt:
    """There is a time axis, and still more ways to pair than are tried."""
    listed = "; ".join(f"{name} from {', '.join(outputs)}" for name, outputs in doubtful.items())
    return Doubt(
        "which output is the new value of which state cannot be told by names, and there are more "
        f"than {_MOST} ways to try: {listed}",
        _say(doubtful),
    )


def _too_few(doubtful: Mapping[str, Sequence[str]]) -> Doubt:
    """More states than outputs that they could come back as."""
    outputs = dict.fromkeys(each for theirs in doubtful.values() for each in theirs)
    return Doubt(
        f"{', '.join(doubtful)} are called states, and {', '.join(outputs)} are too few to be the "
        "new value of each",
        _say(doubtful),
    )


def several(readings: Sequence[Mapping[str, str]]) -> ExportRefused:
    """More than one way to pair holds when run."""
    found = " or ".join(listed(each) for each in readings[:6])
    name, output = next(iter(readings[0].items()))
    return ExportRefused(
        f"which output is the new value of which state cannot be told by names, and more than one "
        f"way holds when run: {found}",
        f"say it: {flags.states({name: output})}",
    )


def contradicted(pairs: Mapping[str, str], others: Mapping[str, str]) -> ExportRefused:
    """As frames of one size anything runs; as a sequence other pairs hold, and these do not."""
    return ExportRefused(
        f"{listed(pairs)} does not hold: frames one after the other answer otherwise than at once, "
        f"and with {listed(others)} they answer the same",
        f"say {flags.states(others)}",
    )


def listed(pairs: Mapping[str, str]) -> str:
    """The pairs in a sentence."""
    return ", ".join(f"{name}={output}" for name, output in pairs.items())


def served(name: str, output: str) -> ExportRefused:
    """--output names what would be the new value of a state."""
    return ExportRefused(
        f"--output names {output}, which may be the new value of the state {name}",
        f"leave out {flags.outputs([output])}, or say {flags.sent([name])} if clients send it",
    )


def unmatched(name: str, axes: object, misfit: str) -> ExportRefused:
    """What is called a state comes back as nothing."""
    return ExportRefused(
        f"{name} is called a state, and no output has its dtype and axes {axes} ({misfit})",
        f"say what it is: {flags.sent([name])} if clients send it, or {flags.fixed(name)} if it "
        f"never changes, or {flags.states({name: 'OUTPUT'})}",
    )


def _say(
    doubtful: Mapping[str, Sequence[str]],
    misfits: Collection[str] = (),
    *,
    everything: bool = False,
) -> str:
    """A flag for each, all of which are needed."""
    pairs = {name: out for name, out in likeliest(doubtful).items() if name not in misfits}
    if everything and len(pairs) == len(doubtful) and len(pairs) > 1:
        pairs.pop(next(iter(pairs)))
    sent = [name for name in doubtful if name not in pairs]
    if not pairs:
        return (
            f"say {flags.sent(sent)} if clients send it, or "
            f"{flags.states({sent[0]: doubtful[sent[0]][0]})}"
        )
    # One last, so that its other output can stand beside it.
    last, *names = pairs
    every = [flags.states({name: pairs[name] for name in names}), flags.sent(sent)]
    every.append(flags.states({last: pairs[last]}))
    named = told(doubtful)
    others = [each for each in doubtful[last] if each not in (pairs[last], *named.values())]
    other = f" or {flags.states({last: others[0]})}" if others and last not in named else ""
    return (
        f"say it: {' '.join(each for each in every if each)}{other}, or "
        f"{flags.sent((*names, last))} if clients send it"
    )


def _ways(
    left: Sequence[tuple[str, Sequence[str]]], chosen: dict[str, str]
) -> Iterator[dict[str, str] | None]:
    """What can be chosen after `chosen`; None for an end that leads nowhere."""
    if not left:
        yield chosen
        return
    (name, outputs), rest = left[0], left[1:]
    free = [each for each in outputs if each not in chosen.values()]
    for output in free:
        yield from _ways(rest, {**chosen, name: output})
    if not is_state(name):
        yield from _ways(rest, chosen)
    elif not free:
        yield None
