"""The first way out that a refusal names, read as its reader would, and followed."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.export.imported.outcome import Outcome, run_import

_VALUED = (
    *("--input", "--constant", "--context", "--state", "--fixed", "--sent", "--output"),
    *("--range", "--initial", "--submodule", "--tolerance"),
)
_PLAIN = ("--no-batch",)
_FLAG = re.compile(r"--[a-z][a-z-]*")
_NEXT_WAY = re.compile(r",? or (?:say |name )?(?=--)|; ")
_RAN = re.compile(r"ran (?:with \S+ )?at (\d+(?:, \d+)*)")
_BLANK = re.compile(r"\b(?:SIZE|AXES|OUTPUT|NAME|LOW|HIGH|DTYPE|VALUE|IN|OUT|PATH|FILE)\b")


@dataclass(frozen=True)
class Followed:
    """The last outcome, and every flag that was taken from a refusal on the way."""

    outcome: Outcome
    rounds: tuple[tuple[str, ...], ...]


def refusal(said: str) -> str:
    """The line of a refusal."""
    return next(line for line in said.splitlines() if line.startswith("carousel-export: "))


def reason(said: str) -> str:
    """What a refusal says was found."""
    return refusal(said).partition(" Way out: ")[0]


def way_out(said: str) -> str:
    """What a refusal says to do."""
    return refusal(said).partition(" Way out: ")[2]


def flags_in(text: str) -> list[str]:
    """The names of the flags that a text holds."""
    return _FLAG.findall(text)


def first_advice(said: str) -> tuple[str, ...]:
    """The flags, with their values, of the first of the ways out.

    A size that is left to the reader is the smallest that the refusal says ran.
    """
    first = _NEXT_WAY.split(way_out(said))[0]
    found: list[str] = []
    for match in _FLAG.finditer(first):
        flag = match[0]
        assert flag in (*_VALUED, *_PLAIN), f"no flag of the command: {flag} in {said}"
        found.append(flag)
        if flag in _VALUED:
            found.append(_value(first[match.end() :], said))
    return tuple(found)


def follow(folder: Path, data: bytes, *flags: str, rounds: int = 3) -> Followed:
    """Import, and add what each refusal says first, for so many rounds."""
    taken: list[tuple[str, ...]] = []
    for _ in range(rounds):
        outcome = run_import(folder, data, *flags)
        if outcome.code == 0:
            return Followed(outcome, tuple(taken))
        advice = first_advice(outcome.said)
        assert advice, f"no flag is named first: {outcome.said}"
        assert advice not in taken, f"the same advice again, {advice}: {outcome.said}"
        taken.append(advice)
        flags = (*flags, *advice)
    return Followed(run_import(folder, data, *flags), tuple(taken))


def _value(rest: str, said: str) -> str:
    """The word behind a flag, with nothing left for its reader to make up."""
    found = re.match(r" (\S+)", rest)
    assert found is not None, f"a flag without its value: {said}"
    value = found[1].rstrip(".,;)")
    if "SIZE" in value:
        ran = _RAN.search(said)
        assert ran is not None, f"no size that ran: {said}"
        value = value.replace("SIZE", ran[1].split(", ")[0])
    assert not _BLANK.search(value), f"{value} is left to the reader: {said}"
    return value


# What stands in a runtime's messages, or in Python's, and in none of ours.
RAW = re.compile(
    r"\[ONNXRuntimeError\]|Non-zero status|INVALID_ARGUMENT|onnxruntime_src|onnxruntime/|"
    r"Status Message|zip\(\)|Traceback|Error\(|DefaultCPUAllocator|object at 0x|\bNone\b"
)


def check_words(outcome: Outcome) -> None:
    """One message, ours."""
    assert not RAW.search(outcome.said), outcome.said
    assert "B=0" not in outcome.said
    if outcome.code != 0:
        last = [line for line in outcome.said.splitlines() if line.startswith("carousel-export: ")]
        assert len(last) == 1, outcome.said
        assert len(refusal(outcome.said)) < 600, outcome.said
        assert outcome.code == 3 or " Way out: " in outcome.said
