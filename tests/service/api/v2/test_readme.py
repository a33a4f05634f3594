"""What docs/inference-protocol.md shows works as printed."""

import re
from pathlib import Path

from tests.harness.live import Live
from tests.harness.readme import block_with, run_script


def test_the_example_of_the_official_client_works_as_printed(live: Live, tmp_path: Path) -> None:
    """A sequence of three steps, from its start to its end."""
    lines = run_script(block_with("py", "tritonclient"), tmp_path, live).splitlines()
    assert [line.startswith("(1, 1, 20) ") for line in lines] == [True] * 3
    positions = [re.findall(r"'position': (\d)", line) for line in lines]
    assert positions == [["1"], ["2"], ["3"]]
