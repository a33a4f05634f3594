"""What README.md shows works as printed, and what it lists is what there is."""

import re
from pathlib import Path

import pytest

from service.settings import options

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _settings_table() -> str:
    lines = ["| variable | flag | default | meaning |", "| --- | --- | --- | --- |"]
    for option in options():
        flag = f"`{option.flag}`" if option.flag else ""
        default = f"`{option.shown_default}`" if option.shown_default else ""
        choices = ", ".join(f"`{choice}`" for choice in option.bounds.choices)
        meaning = option.meaning + (f" ({choices})" if choices else "")
        lines.append(f"| `{option.variable}` | {flag} | {default} | {meaning} |")
    return "\n".join(lines)


def test_settings_table_is_complete() -> None:
    """Each setting is in the table, with its flag, default and meaning; no other is."""
    section = re.search(r"<!-- settings:.*?-->\n(.*?)\n<!-- end of settings -->", README, re.DOTALL)
    assert section is not None
    assert section[1] == _settings_table()


def test_verbs_exist() -> None:
    """Every `make` verb that README names is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    verbs = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`+[^`]+`+", README))))
    assert {"serve", "test", "bench", "help", "models"} <= verbs
    assert verbs <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(path: str) -> None:
    """A linked file is there."""
    assert (ROOT / path).exists()
