"""What inputs and outputs have in common: shape and dtype, or all but one of them."""

from collections.abc import Collection, Mapping, Sequence

import torch

from carousel.export.files.program import Port
from carousel.export.measured.axes import Fitted
from carousel.export.options import Options
from carousel.export.reading.ambiguity import served, unmatched
from carousel.export.reading.fitting import Fit
from carousel.export.reading.names import is_state, pair_by_name
from carousel.models.spec import TIME


class Shapes:
    """What inputs and outputs of one fit have in common."""

    def __init__(self, ports: Sequence[Port], outputs: Sequence[str], fit: Fit) -> None:
        self._ports = ports
        self._outputs = outputs
        self._fit = fit

    def __repr__(self) -> str:
        return f"<Shapes {self.alike()}>"

    def alike(self) -> dict[str, list[str]]:
        """The outputs of each input's shape and dtype."""
        return {
            port.name: [
                each
                for each in self._outputs
                if self._alike_but_dtype(port, each) and self._dtype(each) == port.dtype
            ]
            for port in self._ports
        }

    def rivals(self, port: Port, other: Port) -> bool:
        """Whether two inputs have one shape and dtype."""
        return port.dtype == other.dtype and self._shape(port) == self._shape(other)

    def misfits(self, names: Collection[str], pairs: Mapping[str, str]) -> dict[str, str]:
        """Outputs that have all that a state has but its dtype, and what is said of them."""
        found: dict[str, str] = {}
        for port in self._ports:
            others = [
                f"{each} has its axes and is {self._dtype(each)}, not {port.dtype}"
                for each in self._outputs
                if each not in pairs.values()
                and self._alike_but_dtype(port, each)
                and self._dtype(each) != port.dtype
            ]
            if port.name in names and others:
                found[port.name] = "; ".join(others)
        return found

    def check_called(
        self,
        called: Collection[str],
        pairs: Mapping[str, str],
        doubtful: Collection[str],
        options: Options,
    ) -> None:
        """Raise ExportRefused for an input that is called a state and comes back as nothing: it is
        not sent by accident.
        """
        said = {*pairs, *doubtful, *options.fixed, *options.sent, *options.contexts}
        lone = [port.name for port in self._ports if port.name not in said]
        outputs = [each for each in self._outputs if each not in pairs.values()]
        named = pair_by_name(dict.fromkeys(lone, outputs))
        misfits, alike = self.misfits(lone, pairs), self.alike()
        for name in lone:
            taken = [each for each in alike[name] if each in options.outputs]
            if name in called and taken and name not in misfits:
                raise served(name, taken[0])
            if is_state(name) or (name in called and (name in named or name in misfits)):
                misfit = misfits.get(name) or self._misshapen(named.get(name))
                raise unmatched(name, self._fit.guess.axes[name], misfit)

    def _misshapen(self, output: str | None) -> str:
        """What is wrong with the output of a state's own name, if there is one."""
        grows = "a state that grows is no stream state"
        if output is None:
            return grows
        fitted = self._fit.outputs[output]
        axes = "of no such axes" if fitted is None else fitted.axes
        return f"{output} is {self._dtype(output)} {axes}; {grows}"

    def _alike_but_dtype(self, port: Port, output: str) -> bool:
        mine = self._shape(port)
        return self._fit.outputs[output] == mine and TIME not in mine.axes

    def _shape(self, port: Port) -> Fitted:
        return Fitted(self._fit.guess.axes[port.name], self._fit.guess.folds[port.name])

    def _dtype(self, output: str) -> str:
        dtype: torch.dtype = self._fit.dtypes[output]
        return str(dtype).removeprefix("torch.")
