"""One module after the other: its mutants are planted and tried."""

from collections.abc import Callable, Iterable
from pathlib import Path

from tests.harness.mutants.equivalent import check_equivalent, load_equivalent
from tests.harness.mutants.mutant import Mutant
from tests.harness.mutants.planter import plant, sample
from tests.harness.mutants.progress import Progress, Tried, digest_of
from tests.harness.mutants.report import Result
from tests.harness.mutants.subjects import Subject
from tests.harness.mutants.tree import Outcome, Tree


class Run:
    """`stopped`: set from outside, it ends after the mutant it is at."""

    def __init__(
        self, tree: Tree, progress: Progress, folder: Path, say: Callable[[str], None]
    ) -> None:
        self.stopped = False
        self._tree = tree
        self._progress = progress
        self._folder = folder
        self._say = say

    def go(self, name: str, subject: Subject, match: str, count: int | None, seed: int) -> Result:
        """Of one module, as far as it came; raises BrokenTests and StaleEquivalent."""
        source = (self._tree.root / subject.path).read_text()
        mutants = plant(source)
        listed = load_equivalent(name)
        check_equivalent(name, listed, {each.change for each in mutants})
        live = [each for each in mutants if each.change not in listed]
        result = Result(name, subject.path, source, num_equivalent=len(mutants) - len(live))
        matching = [each for each in live if match in each.key]
        drawn = sample(matching, count, seed)
        tried = self._progress.of(name, digest_of(self._tree.root, subject))
        self._say(f"{name}: {len(drawn)} of {len(mutants)} changes")
        for mutant, outcome in self._outcomes(subject, tried, drawn):
            result.add(mutant, outcome)
        return result

    def _outcomes(
        self, subject: Subject, tried: Tried, mutants: list[Mutant]
    ) -> Iterable[tuple[Mutant, Outcome]]:
        for number, mutant in enumerate(mutants, 1):
            outcome = tried.outcomes.get(mutant.key)
            if outcome is None:
                if self.stopped:
                    return
                if tried.usual_s == 0.0:
                    # Twice: the first time everything is compiled.
                    self._tree.measure(subject.tests)
                    tried.usual_s = self._tree.measure(subject.tests)
                outcome = self._tree.outcome(
                    subject.path, mutant.code, subject.tests, tried.usual_s
                )
                tried.outcomes[mutant.key] = outcome
                self._progress.save(self._folder)
                self._say(f"{number}/{len(mutants)} {outcome:<6} line {mutant.line} {mutant.key}")
            yield mutant, outcome
