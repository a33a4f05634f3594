"""Which inputs are states, and which output is each one's new value: candidates, and why.

Flags decide; then names that leave no doubt: of inputs that are called states and share a shape,
names must tell every pair or they tell none. Then, for an input that is called a state, the only
output of its shape and dtype. What is left open can be decided by running where there is a time
axis, and by nobody but the caller where there is none.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from carousel.export import flags
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.files.program import Program
from carousel.export.options import Options
from carousel.export.reading.ambiguity import choices, listed, served, undecided
from carousel.export.reading.fitting import Fit, open_ports
from carousel.export.reading.names import (
    is_heard,
    is_state,
    likeliest,
    may_be_kept,
    may_be_new_state,
    may_be_state,
    pair_by_name,
    says_nothing,
)
from carousel.export.reading.shapes import Shapes
from carousel.export.reading.subject import BY_FLAG

_Alike = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Roles:
    """The output that each state comes back as, the states that never change, and the reasons."""

    pairs: Mapping[str, str]
    fixed: tuple[str, ...]
    why: Mapping[str, str]


class Candidates:
    """The inputs and outputs of one fit that could be pairs."""

    def __init__(self, program: Program, fit: Fit, options: Options) -> None:
        self._ports = ports = open_ports(program, options)
        self._outputs = outputs = program.outputs
        self._wired = program.wired
        self._options = options
        self._fit = fit
        self._timed = fit.guess.time
        self._shapes = Shapes(ports, outputs, fit)
        self._alike = self._shapes.alike()
        named = pair_by_name(self._alike)
        self._called = {
            port.name
            for port in ports
            if may_be_state(port.name) or (may_be_kept(port.name) and port.name in named)
        }

    def __repr__(self) -> str:
        return f"<Candidates {self._alike}>"

    def readings(self, *, wide: bool = False) -> list[Roles]:
        """Every reading to choose from by running; one where flags and names leave no doubt.

        `wide`: with inputs among the states that are not called so, though others are; none where
        there is no time axis. Raises Doubt where no run can settle it, ExportRefused where flags or
        names do not fit.
        """
        pairs, why = self._said()
        free = self._free(pairs)
        begun = self._by_name(free, pairs, why)
        self._by_shape(free, pairs, why)
        doubtful = self._doubtful(free, pairs, begun)
        self._shapes.check_called(self._called, pairs, doubtful, self._options)
        if doubtful and not self._timed:
            kept = {*pairs, *doubtful, *self._options.fixed}
            everything = all(port.name in kept for port in self._ports)
            misfits = self._shapes.misfits(doubtful, pairs)
            raise undecided(doubtful, misfits, everything=everything)
        if wide:
            doubtful = self._left(free, pairs) if self._timed else {}
        return self._roles(pairs, why, choices(doubtful))

    def anew(self) -> list[Roles]:
        """The states that names and shapes tell, paired in every other way that flags leave; raises
        Doubt where there are too many.
        """
        told = self.readings()[0].pairs
        pairs, why = self._said()
        free = self._free(pairs)
        every = choices({name: free[name] for name in told if name not in pairs})
        ways = [each for each in every if {*pairs, *each} == set(told) and pairs | each != told]
        return self._roles(pairs, why, ways)

    def _roles(
        self, pairs: dict[str, str], why: dict[str, str], ways: Sequence[dict[str, str]]
    ) -> list[Roles]:
        fixed = tuple(dict.fromkeys(self._options.fixed))
        readings = [
            Roles({**pairs, **more}, fixed, {**why, **dict.fromkeys(more, "by running")})
            for more in ways
        ]
        for each in readings:
            self._check_sent(each)
        return readings

    def may_pair(self, pairs: Mapping[str, str]) -> bool:
        """Whether the output of each pair has the shape and dtype of its state."""
        return all(output in self._alike[name] for name, output in pairs.items())

    def overlooked(self, roles: Roles) -> dict[str, str]:
        """Beside states, what clients send though an output has its shape and dtype, each with that
        output; nothing where it must be sent, or its output be the answer.
        """
        kept = {*roles.pairs, *roles.fixed}
        others = len(self._ports) - len(kept) > 1 and len(self._outputs) - len(roles.pairs) > 1
        if not (roles.pairs and others):
            return {}
        left = self._left(self._free(roles.pairs), roles.pairs)
        told = likeliest(left)
        return {name: told.get(name, left[name][0]) for name in left if name not in kept}

    def _left(self, free: _Alike, pairs: Mapping[str, str]) -> dict[str, list[str]]:
        """Inputs without a pair that could come back as something."""
        left = {
            name: [each for each in outputs if each not in pairs.values()]
            for name, outputs in free.items()
            if name not in pairs
        }
        return {name: outputs for name, outputs in left.items() if outputs}

    def _doubtful(
        self, free: _Alike, pairs: Mapping[str, str], begun: Collection[str]
    ) -> dict[str, list[str]]:
        """What is called a state and could come back as several outputs; where nothing is called
        so, and there is more than one input, whatever could.
        """
        left = self._left(free, pairs)
        called = {
            name: outputs
            for name, outputs in left.items()
            if name in begun or is_state(name) or (name in self._called and not self._timed)
        }
        if called:
            return called
        if set(pairs) - set(self._options.pairs):
            return {} if self._timed else self._suspects(left, pairs)
        if pairs and self._timed:
            return {}
        # What one flag leaves in doubt is in doubt still, but for what must be sent.
        others = [port for port in self._ports if port.name not in {*pairs, *self._options.fixed}]
        return {} if len(others) < 2 else left

    def _suspects(
        self, left: Mapping[str, list[str]], pairs: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """What is not called a state, beside others that are, and has an output of its own name;
        nothing where it must be sent, or its output be the answer.
        """
        named = pair_by_name(left)
        kept = {*pairs, *named, *self._options.fixed}
        if len(self._ports) == len(kept) or len(self._outputs) == len(pairs) + len(named):
            return {}
        return {name: [output] for name, output in named.items()}

    def _said(self) -> tuple[dict[str, str], dict[str, str]]:
        """The pairs that flags name, which must fit."""
        for name, output in self._options.pairs.items():
            if output not in self._alike[name]:
                axes = self._fit.guess.axes[name]
                fitted = self._fit.outputs[output]
                raise ExportRefused(
                    f"{output} is {self._fit.dtypes[output]} {fitted and fitted.axes}, and the "
                    f"state {name} that it should be the new value of has the axes {axes}",
                    "name another output with --state, or the right axes with --input",
                )
        return dict(self._options.pairs), dict.fromkeys(self._options.pairs, BY_FLAG)

    def _free(self, pairs: Mapping[str, str]) -> dict[str, list[str]]:
        """Inputs that nothing has been said about, and the outputs they could come back as.

        What is heard is no state, and what comes back under its name is an answer. So is what comes
        first, where no run tells and it is not called a state.
        """
        heard = {name: each for name, each in self._alike.items() if is_heard(name)}
        if len(heard) == len(self._ports):
            heard = {}  # names that are all alike tell nothing
        answers = {*pair_by_name(heard).values(), *self._options.outputs}
        first = self._outputs[0]
        said = {*pairs, *self._options.fixed, *self._options.sent, *self._options.contexts}
        every = {
            name: [each for each in outputs if each not in pairs.values()]
            for name, outputs in self._alike.items()
            if name not in said and name not in heard
        }
        named = pair_by_name(every)
        for name, output in named.items():
            if name in self._called and output in self._options.outputs:
                raise served(name, output)
        if not (self._timed or may_be_new_state(first) or first in named.values()):
            # Where other outputs are left it is the last to be asked for.
            every = {
                name: sorted(outputs, key=lambda each: each == first)
                if name in self._called
                else [each for each in outputs if each != first or self._is_last(name, outputs)]
                for name, outputs in every.items()
            }
        return {
            name: [each for each in outputs if each not in answers]
            for name, outputs in every.items()
        }

    def _is_last(self, name: str, outputs: Sequence[str]) -> bool:
        """Whether the first output is all that a state could come back as."""
        return len(outputs) == 1 and (name in self._called or len(self._outputs) == 1)

    def _by_name(self, free: _Alike, pairs: dict[str, str], why: dict[str, str]) -> frozenset[str]:
        """Pairs of what names tell; gives the states whose names tell some of one shape, not all.

        What is not called a state is one by its name only where running shows it, where nothing is
        called so, and where something is left to send and to answer with.
        """
        wired = self._by_layer(free)
        named = pair_by_name(free)
        called = [port for port in self._ports if free.get(port.name) and port.name in self._called]
        partly = {
            port.name
            for port in called
            if any(self._shapes.rivals(port, each) and each.name not in named for each in called)
        }
        rest = len(self._ports) > len(named) and len(self._outputs) > len(named)
        plain = rest and not (pairs or called) and self._timed
        taken = wired.values()
        for name in named if plain else [each.name for each in called]:
            if name in named and name not in (*partly, *wired) and named[name] not in taken:
                pairs[name], why[name] = named[name], "by name"
        for name, output in wired.items():
            told = named.get(name)
            pairs[name] = output
            why[name] = "by name" if told == output else "by its layer"
            if told not in (output, None):
                why[name] += f", though names tell {told}"
        partly -= set(wired)
        return frozenset(partly) if partly & set(named) else frozenset()

    def _by_layer(self, free: _Alike) -> dict[str, str]:
        """The outputs that a recurrent layer itself hands on of what is called a state."""
        return {
            name: output
            for name, output in self._wired.items()
            if name in self._called and output in free.get(name, ())
        }

    def _by_shape(self, free: _Alike, pairs: dict[str, str], why: dict[str, str]) -> None:
        called = {name: outputs for name, outputs in free.items() if name in self._called}
        left = self._left(called, pairs)
        misfits = self._shapes.misfits(left, pairs)
        for name, outputs in left.items():
            rivals = [other for other, theirs in left.items() if set(theirs) & set(outputs)]
            if len(outputs) > 1 or rivals != [name]:
                continue
            sure = name not in misfits and self._may_come_back(name, outputs[0])
            if self._timed or sure:
                pairs[name], why[name] = outputs[0], "the only output of its shape"

    def _may_come_back(self, name: str, output: str) -> bool:
        """Whether the names of a state and of the only output of its shape let them be a pair.

        Either is called a state; an output called otherwise is none, and one whose name says
        nothing is the answer where it comes first.
        """
        if may_be_new_state(output):
            return True
        return is_state(name) and says_nothing(output) and output != self._outputs[0]

    def _heard(self) -> str:
        """What is likeliest to be sent where everything could be kept."""
        said = {*self._options.pairs, *self._options.fixed}
        names = [port.name for port in self._ports]
        free = [name for name in names if name not in said]
        return next((name for name in free if name not in self._called), (free or names)[0])

    def _check_sent(self, roles: Roles) -> None:
        kept = {*roles.pairs, *roles.fixed}
        if all(port.name in kept for port in self._ports):
            raise ExportRefused(
                f"every input would be a state ({listed(roles.pairs)}), and none is left for "
                "clients to send",
                f"name what clients send: {flags.sent([self._heard()])}",
            )
        kept |= {f"{name}.context" for name in self._options.contexts}
        for name in self._options.initial:
            if name not in kept:
                raise InvalidRequest(f"--initial: {name!r} is no state; states are {sorted(kept)}")
