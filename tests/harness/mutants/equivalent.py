"""Changes that change nothing a caller could see: they count as nothing."""

import tomllib
from collections.abc import Collection
from pathlib import Path

from tests.harness.mutants.mutant import Change

_FILE = Path(__file__).with_name("equivalent.toml")


class StaleEquivalent(Exception):
    """A change is listed that no longer can be made; the message says which."""


def load_equivalent(name: str) -> dict[Change, str]:
    """Those of a module, with their reasons."""
    listed = tomllib.loads(_FILE.read_text()).get(name, [])
    return {
        Change(each["function"], each["before"], each["after"]): each["reason"] for each in listed
    }


def check_equivalent(name: str, listed: Collection[Change], made: Collection[Change]) -> None:
    """Each that is listed must be among those that are made; raises StaleEquivalent."""
    for change in listed:
        if change not in made:
            raise StaleEquivalent(
                f"equivalent.toml lists for {name} what can no longer be planted, in"
                f" {change.function}: {change.before} -> {change.after}"
            )
