"""The comparisons of one program with the subject, as the parity table has them."""

from collections.abc import Callable

from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import only, size
from carousel.export.measured.tolerance import Difference, Tensors
from carousel.models.manifest import ParityCase, ProgramKind


class FallsShort(Exception):
    """A program that does not equal the subject; the message says where."""


class Cases:
    """The worst comparison of each check at each size; `relative` is the widest bound of all."""

    def __init__(self, kind: ProgramKind) -> None:
        self.kind = kind
        self.relative = 0.0
        self._worst: dict[tuple[str, int, int], ParityCase] = {}

    def __repr__(self) -> str:
        return f"<Cases {self.kind} {len(self._worst)}>"

    def add(self, check: str, batch: int, time: int, found: Difference) -> None:
        """One comparison; raises FallsShort where the bound is not met."""
        if not found.passes:
            raise FallsShort(
                f"{self.kind}: {check} at {size(batch, time)}: error {found.error:.1e}, "
                f"bound {found.bound:.1e}"
            )
        self.relative = max(self.relative, found.relative)
        self._keep(
            ParityCase(
                program=self.kind,
                check=check,
                batch=max(batch, 1),
                time=max(time, 1),
                error=found.error,
                bound=found.bound,
            )
        )

    def merge(self, other: "Cases") -> None:
        """Those of another check."""
        self.relative = max(self.relative, other.relative)
        for each in other.all():
            self._keep(each)

    def all(self) -> tuple[ParityCase, ...]:
        """Every comparison that is kept, in the order of the checks."""
        return tuple(self._worst.values())

    def _keep(self, case: ParityCase) -> None:
        key = case.check, case.batch, case.time
        known = self._worst.get(key)
        if known is None or case.error > known.error:
            self._worst[key] = case


def flat(stepper: Stepper, time: int) -> Callable[[Tensors], Tensors]:
    """The program's run with inputs and states in one, and all that it gives."""
    inputs = {each.name for each in stepper.spec.inputs}
    states = {each.name for each in stepper.spec.states}

    def run(values: Tensors) -> Tensors:
        return stepper.run_whole(only(values, inputs), only(values, states), time).all()

    return run
