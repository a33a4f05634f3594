"""What README.md and the pages of docs/ show, for tests that do as they say."""

import re
import sys
from pathlib import Path

from tests.harness.live import Live
from tests.harness.process import PATHS, ROOT, run_program

# By their paths from the root; docs/field.md is written by a command and has its own tests.
PAGES = {
    str(file.relative_to(ROOT)): file.read_text()
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if file.name != "field.md"
}
README = PAGES["README.md"]
_PRINTED = "127.0.0.1:8000"


def blocks(language: str, page: str = "README.md") -> list[str]:
    """The fenced blocks of a language on a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def block_with(language: str, text: str) -> str:
    """The one block of a language, on any page, that holds a text."""
    (found,) = (each for page in PAGES for each in blocks(language, page) if text in each)
    return found


def run_script(script: str, folder: Path, live: Live | None = None) -> str:
    """What a script prints that must succeed; where it names a service, it asks that one."""
    if live is not None:
        assert _PRINTED in script
        script = script.replace(_PRINTED, live.url.removeprefix("http://"))
    ended = run_program([sys.executable, "-c", script], PATHS, cwd=folder, patience_s=100)
    assert ended.code == 0, ended.err
    return ended.out
