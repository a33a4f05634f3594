"""Refusals of pairs that only the caller can tell: the candidates, and the flag that says."""

from collections.abc import Mapping, Sequence

from carousel.export.errors import ExportRefused


class Doubt(ExportRefused):
    """Nothing but the caller can tell which output is which state's."""


def undecided(doubtful: Mapping[str, Sequence[str]], misfits: Mapping[str, str]) -> Doubt:
    """Names do not tell, and there is no time axis; `misfits` says what is almost a candidate."""
    listed = "; ".join(
        f"{name} from {', '.join(outputs)}" + (f" ({misfits[name]})" if name in misfits else "")
        for name, outputs in doubtful.items()
    )
    return Doubt(
        "names do not tell which output is the new value of which state, and without a time axis "
        f"no run can: {listed}",
        _say(doubtful),
    )


def uncounted(doubtful: Mapping[str, Sequence[str]], most: int) -> Doubt:
    """There is a time axis, and still more ways to pair than are tried."""
    listed = "; ".join(f"{name} from {', '.join(outputs)}" for name, outputs in doubtful.items())
    return Doubt(
        "which output is the new value of which state cannot be told by names, and there are more "
        f"than {most} ways to try: {listed}",
        _say(doubtful),
    )


def too_few(doubtful: Mapping[str, Sequence[str]]) -> Doubt:
    """More states than outputs that they could come back as."""
    outputs = dict.fromkeys(each for theirs in doubtful.values() for each in theirs)
    return Doubt(
        f"{', '.join(doubtful)} are called states, and {', '.join(outputs)} are too few to be the "
        "new value of each",
        _say(doubtful),
    )


def several(readings: Sequence[Mapping[str, str]]) -> ExportRefused:
    """More than one way to pair holds when run."""
    found = " or ".join(
        ", ".join(f"{name}={output}" for name, output in each.items()) for each in readings[:6]
    )
    name, output = next(iter(readings[0].items()))
    return ExportRefused(
        f"which output is the new value of which state cannot be told by names, and more than one "
        f"way holds when run: {found}",
        f"say it: --state {name}={output}",
    )


def served(name: str, output: str) -> ExportRefused:
    """--output names what would be the new value of a state."""
    return ExportRefused(
        f"--output names {output}, which may be the new value of the state {name}",
        f"leave out --output {output}, or say --sent {name} if clients send it",
    )


def unmatched(name: str, axes: object, misfit: str) -> ExportRefused:
    """What is called a state comes back as nothing."""
    return ExportRefused(
        f"{name} is called a state, and no output has its dtype and axes {axes} ({misfit})",
        f"say what it is: --state {name}=OUTPUT, --fixed {name} if it never changes, or "
        f"--sent {name} if clients send it",
    )


def _say(doubtful: Mapping[str, Sequence[str]]) -> str:
    name, outputs = next(iter(doubtful.items()))
    ways = " or ".join(f"--state {name}={output}" for output in outputs[:2])
    return f"say it: {ways}, or --sent {name} if clients send it"
