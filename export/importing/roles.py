"""Which inputs are states, and which output is each one's new value: candidates, and why.

Flags decide; then names that leave no doubt; then, for an input that is called a state, the only
output of its shape and dtype. What is left open can be decided by running where there is a time
axis, and by nobody but the caller where there is none.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from export.errors import ExportRefused, InvalidRequest
from export.importing.fitting import Fit
from export.importing.names import is_state, may_be_state, pair_by_name
from export.importing.program import Port
from export.importing.wishes import Wishes
from models.spec import TIME

_MAX_READINGS = 720


@dataclass(frozen=True, slots=True)
class Roles:
    """The output that each state comes back as, the states that never change, and the reasons."""

    pairs: Mapping[str, str]
    fixed: tuple[str, ...]
    why: Mapping[str, str]


class Doubt(ExportRefused):
    """Nothing but the caller can tell which output is which state's."""


class Candidates:
    """The inputs and outputs of one fit that could be pairs."""

    def __init__(self, ports: Sequence[Port], outputs: Sequence[str], fit: Fit, wishes: Wishes):
        self._ports = ports
        self._outputs = outputs
        self._wishes = wishes
        self._fit = fit
        self._alike = {
            port.name: [name for name in outputs if self._same(port, name)] for port in ports
        }

    def __repr__(self) -> str:
        return f"<Candidates {self._alike}>"

    def readings(self) -> list[Roles]:
        """Every reading to choose from by running; one where flags and names leave no doubt.

        Raises Doubt where no run can settle it, ExportRefused where flags or names do not fit.
        """
        pairs, why = self._said()
        free = self._free(pairs)
        self._by_name(free, pairs, why)
        self._by_shape(free, pairs, why)
        doubtful = self._doubtful(free, pairs)
        self._refuse_unmatched(pairs, doubtful)
        if doubtful and not self._fit.guess.time:
            raise _doubt(doubtful)
        fixed = tuple(self._wishes.fixed)
        readings = [
            Roles({**pairs, **more}, fixed, {**why, **dict.fromkeys(more, "by running")})
            for more in self._choices(doubtful)
        ]
        for each in readings:
            self._check_sent(each)
        return readings

    def _doubtful(
        self, free: Mapping[str, list[str]], pairs: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """What is called a state and could come back as several outputs; where nothing is called
        so, and there is more than one input, whatever could.
        """
        left = {
            name: [each for each in outputs if each not in pairs.values()]
            for name, outputs in free.items()
            if name not in pairs
        }
        left = {name: outputs for name, outputs in left.items() if outputs}
        called = {name: outputs for name, outputs in left.items() if is_state(name)}
        return called or ({} if pairs or len(self._ports) < 2 else left)

    def _same(self, port: Port, output: str) -> bool:
        guess, fitted = self._fit.guess, self._fit.outputs[output]
        dtype = str(self._fit.dtypes[output]).removeprefix("torch.")
        mine = (guess.axes[port.name], guess.folds[port.name])
        return fitted == mine and dtype == port.dtype and TIME not in mine[0]

    def _said(self) -> tuple[dict[str, str], dict[str, str]]:
        """The pairs that flags name, which must fit."""
        for name, output in self._wishes.states.items():
            if output not in self._alike[name]:
                axes = self._fit.guess.axes[name]
                fitted = self._fit.outputs[output]
                raise ExportRefused(
                    f"{output} is {self._fit.dtypes[output]} {fitted and fitted[0]}, and the state "
                    f"{name} that it should be the new value of has the axes {axes}",
                    "name another output with --state, or the right axes with --input",
                )
        return dict(self._wishes.states), dict.fromkeys(self._wishes.states, "by flag")

    def _free(self, pairs: Mapping[str, str]) -> dict[str, list[str]]:
        """Inputs that nothing has been said about, and the outputs they could come back as."""
        said = {*pairs, *self._wishes.fixed, *self._wishes.sent, *self._wishes.contexts}
        kept = {*pairs.values(), *self._wishes.outputs}
        return {
            name: [each for each in outputs if each not in kept]
            for name, outputs in self._alike.items()
            if name not in said
        }

    def _by_name(
        self, free: Mapping[str, list[str]], pairs: dict[str, str], why: dict[str, str]
    ) -> None:
        named = pair_by_name(free)
        sure = {name: each for name, each in named.items() if may_be_state(name)}
        # What is not called a state is one only where nothing is called so, and where something is
        # left to send and to answer with.
        rest = len(self._ports) > len(named) and len(self._outputs) > len(named)
        for name, output in (sure or (named if rest and not pairs else {})).items():
            pairs[name], why[name] = output, "by name"

    def _by_shape(
        self, free: Mapping[str, list[str]], pairs: dict[str, str], why: dict[str, str]
    ) -> None:
        left = {
            name: [each for each in outputs if each not in pairs.values()]
            for name, outputs in free.items()
            if name not in pairs and may_be_state(name)
        }
        for name, outputs in left.items():
            rivals = [other for other, theirs in left.items() if set(theirs) & set(outputs)]
            if len(outputs) == 1 and rivals == [name]:
                pairs[name], why[name] = outputs[0], "the only output of its shape"

    def _refuse_unmatched(
        self, pairs: Mapping[str, str], doubtful: Mapping[str, list[str]]
    ) -> None:
        """An input that is called a state and comes back as nothing is not sent by accident."""
        said = {*pairs, *doubtful, *self._wishes.fixed, *self._wishes.sent}
        for port in self._ports:
            if is_state(port.name) and port.name not in said | set(self._wishes.contexts):
                raise ExportRefused(
                    f"{port.name} is called a state, and no output has its dtype and axes "
                    f"{self._fit.guess.axes[port.name]} (a state that grows is no stream state)",
                    f"say what it is: --state {port.name}=OUTPUT, --fixed {port.name} if it never "
                    f"changes, or --sent {port.name} if clients send it",
                )

    def _choices(self, doubtful: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
        """Every way to pair what is in doubt; what is not called a state may be none."""
        options = [
            [*outputs, *([] if is_state(name) else [None])] for name, outputs in doubtful.items()
        ]
        ways = itertools.islice(itertools.product(*options), _MAX_READINGS)
        for choice in ways:
            chosen = [each for each in choice if each is not None]
            if len(set(chosen)) == len(chosen):
                yield {
                    name: output
                    for name, output in zip(doubtful, choice, strict=True)
                    if output is not None
                }

    def _check_sent(self, roles: Roles) -> None:
        kept = {*roles.pairs, *roles.fixed}
        if all(port.name in kept for port in self._ports):
            listed = ", ".join(f"{name}={output}" for name, output in roles.pairs.items())
            raise ExportRefused(
                f"every input would be a state ({listed}), and none is left for clients to send",
                "name what clients send: --sent NAME",
            )
        kept |= {f"{name}.context" for name in self._wishes.contexts}
        for name in self._wishes.initial:
            if name not in kept:
                raise InvalidRequest(f"--initial: {name!r} is no state; states are {sorted(kept)}")


def _doubt(doubtful: Mapping[str, Sequence[str]]) -> Doubt:
    listed = "; ".join(f"{name} from {', '.join(outs)}" for name, outs in doubtful.items())
    name, outputs = next(iter(doubtful.items()))
    return Doubt(
        f"names do not tell which output is the new value of which state, and without a time axis "
        f"no run can: {listed}",
        f"say it: --state {name}={outputs[0]}"
        + (f" or --state {name}={outputs[1]}" if len(outputs) > 1 else "")
        + f", or --sent {name} if clients send it",
    )
