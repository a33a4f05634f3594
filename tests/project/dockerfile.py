"""The Dockerfile as stages, and what an image has of those that it is built on."""

import re
from dataclasses import dataclass
from pathlib import Path

_DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Stage:
    """One `FROM ... AS name` of the Dockerfile; instructions in order, as (word, rest)."""

    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]

    def rests(self, word: str) -> list[str]:
        """What stands behind each `word`."""
        return [rest for each, rest in self.instructions if each == word]


def _stages() -> dict[str, Stage]:
    text = _DOCKERFILE.read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found: dict[str, Stage] = {}
    for line in filter(str.strip, joined.splitlines()):
        word, rest = line.strip().split(None, 1)
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
            found[name] = Stage(name, base, ())
        elif found:
            last = found[name]
            found[name] = Stage(name, last.base, (*last.instructions, (word, rest)))
    return found


STAGES = _stages()


def lineage(name: str) -> list[Stage]:
    """The stage and those it is built on, the oldest first."""
    stage = STAGES[name]
    return [*(lineage(stage.base) if stage.base in STAGES else []), stage]


def rests(image: str, word: str) -> list[str]:
    """What stands behind each `word` of an image, the oldest stage first."""
    return [rest for stage in lineage(image) for rest in stage.rests(word)]


def variables(image: str) -> dict[str, str]:
    """The environment of an image."""
    return dict(pair.split("=", 1) for rest in rests(image, "ENV") for pair in rest.split())
