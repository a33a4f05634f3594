"""The command line, and what the client's README says of it."""

import re
from pathlib import Path

import pytest

from carousel_bench.flags import make_parser, read

README = (Path(__file__).parents[3] / "client" / "README.md").read_text()
SECTION = README.partition("## What a server can take\n")[2].partition("\n## ")[0]


def test_the_readme_shows_flags_that_are_there() -> None:
    """Each piece of a command line in its section is one."""
    shown = [each for each in re.findall(r"`([^`\n]+)`", SECTION) if each.startswith("--")]
    assert len(shown) >= 8
    for each in shown:
        words = re.sub(r"\b(FILE|MS)$", "1", each).split()
        if words not in (["--help"], ["--processes"]):
            read(["http://127.0.0.1:8000", *words], {})


def test_the_examples_of_the_help_work() -> None:
    """As they are printed."""
    lines = re.findall(r"^  carousel-bench (.+)$", make_parser().format_help(), re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        assert read(line.split(), {}).settings.url == "http://127.0.0.1:8000"


def test_a_mix_has_weights() -> None:
    """One where none is said."""
    given = read(["http://a", "--mix", "step=8,sequence"], {}).settings
    assert given.mix == {"step": 8.0, "sequence": 1.0}


def test_the_key_is_the_environments_and_is_not_shown(tmp_path: Path) -> None:
    """The variable counts more than the file; neither is in what a report holds, nor in a repr."""
    file = tmp_path / "key"
    file.write_text("of-the-file\n")
    both = {"CAROUSEL_API_KEY": "of-the-variable", "CAROUSEL_API_KEY_FILE": str(file)}
    settings = read(["http://a"], both).settings
    assert settings.api_key == "of-the-variable"
    assert "of-the-variable" not in f"{settings!r} {settings.shown()}"
    assert (
        read(["http://a"], {"CAROUSEL_API_KEY_FILE": str(file)}).settings.api_key == "of-the-file"
    )


def test_the_help_speaks_of_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """And leaves with 0."""
    with pytest.raises(SystemExit, match="0"):
        read(["--help"], {})
    said = capsys.readouterr().out
    for action in make_parser()._actions:
        assert all(each in said for each in action.option_strings)
        assert action.help
