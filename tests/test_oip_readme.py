"""What README.md shows of the Open Inference Protocol works as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.live import Live

README = (Path(__file__).parents[1] / "README.md").read_text()
PRINTED = "127.0.0.1:8000"


def test_the_example_of_the_official_client_works_as_printed(live: Live, tmp_path: Path) -> None:
    """A sequence of three steps, from its start to its end."""
    section = README.partition("\n## Open Inference Protocol\n")[2].partition("\n## ")[0]
    (script,) = re.findall(r"^```py\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert script.count(PRINTED) == 1
    done = subprocess.run(
        [sys.executable, "-c", script.replace(PRINTED, live.url.removeprefix("http://"))],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.startswith("(1, 1, 20) ") for line in lines] == [True] * 3
    assert [re.search(r"'position': (\d)", line)[1] for line in lines] == ["1", "2", "3"]  # type: ignore[index]
