"""The table of targets."""

from tests.harness.fuzz.bodies import body_targets
from tests.harness.fuzz.files import file_targets
from tests.harness.fuzz.lines import line_targets
from tests.harness.fuzz.target import Target


def all_targets() -> dict[str, Target]:
    """Every one, by its name."""
    return {each.name: each for each in (*body_targets(), *line_targets(), *file_targets())}
