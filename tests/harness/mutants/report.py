"""What came of a run, as text."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.harness.mutants.mutant import Mutant
from tests.harness.mutants.tree import Outcome


@dataclass(slots=True)
class Result:
    """Of one module: how many were caught, those that are alive, how many change nothing."""

    name: str
    path: str
    source: str
    num_caught: int = 0
    alive: list[Mutant] = field(default_factory=list)
    num_equivalent: int = 0

    def add(self, mutant: Mutant, outcome: Outcome) -> None:
        """One more."""
        if outcome is Outcome.ALIVE:
            self.alive.append(mutant)
        else:
            self.num_caught += 1


def share(results: Sequence[Result]) -> float:
    """How many of all mutants were caught, 0 to 1; 1 of none."""
    caught = sum(each.num_caught for each in results)
    total = caught + sum(len(each.alive) for each in results)
    return caught / total if total else 1.0


def report(results: Sequence[Result]) -> str:
    """A table, and each that is alive."""
    rows = ["module               caught  alive  equivalent"]
    rows += [
        f"{each.name:<20} {each.num_caught:>6} {len(each.alive):>6} {each.num_equivalent:>11}"
        for each in results
    ]
    rows.append(f"caught: {share(results):.1%}")
    for each in results:
        for mutant in each.alive:
            rows += ["", f"alive: {each.path}:{mutant.line} in {mutant.change.function}"]
            rows.append(mutant.diff(each.source, each.path))
    return "\n".join(rows)
