"""The table of a way, and its bar."""

from collections.abc import Mapping, Sequence

from benchmarks.profile.measuring import Profile
from benchmarks.profile.stage_clock import REST
from benchmarks.profile.stages import STAGES

# By how much the stages may miss what the server takes without timers.
TOLERANCE = 0.10
_BAR = 60
_LETTERS: Mapping[str, str] = {
    "read": "r", "decode": "d", "session": "s", "queue": "q", "pack": "p", "gather": "g",
    "run": "R", "scatter": "S", "commit": "c", "encode": "e", "write": "w", REST: ".",
}  # fmt: skip
_REST = "rest (in no stage: uvloop's epoll, recv, late sends; threads' waking)"


def table(profile: Profile) -> str:
    """Markdown: a row for each stage, and what of the whole is explained."""
    whole = sum(profile.stages.values())
    lines = [
        f"### {profile.name}",
        "",
        "| stage | CPU, us a step | share | a lone client, wall us |",
        "| --- | ---: | ---: | ---: |",
    ]
    for stage in STAGES:
        us, wall = profile.stages[stage], profile.wall_stages[stage]
        lines.append(f"| {stage} | {us:.2f} | {us / whole:.0%} | {wall:.2f} |")
    rest = profile.stages[REST]
    between = profile.wall_us - sum(profile.wall_stages[each] for each in STAGES)
    lines += [
        f"| {_REST} | {rest:.2f} | {rest / whole:.0%} | {between:.2f} |",
        f"| together | {whole:.2f} | 100% | {profile.wall_us:.2f} |",
        "",
        f"`{bar(profile.stages)}`",
        "",
        f"Without timers {profile.cpu_us:.2f} us: {profile.explained:.0%} explained, of it "
        f"{(whole - rest) / whole:.0%} by stages. Taken off for timers: "
        f"{profile.timers_us:.2f} us.",
    ]
    return "\n".join(lines)


def bar(stages: Mapping[str, float]) -> str:
    """The stages' shares, in as many letters."""
    whole, bar, reached = sum(max(0.0, us) for us in stages.values()), "", 0.0
    for stage, letter in _LETTERS.items():
        reached += max(0.0, stages[stage])
        bar += letter * (round(reached / whole * _BAR) - len(bar))
    return bar


def legend() -> str:
    """What the letters of a bar stand for."""
    return "Bars: " + ", ".join(f"{letter} {stage}" for stage, letter in _LETTERS.items())


def unexplained(profiles: Sequence[Profile]) -> list[str]:
    """A line for each way whose stages miss its whole."""
    return [
        f"{each.name}: the stages and the rest explain {each.explained:.0%} of {each.cpu_us:.2f} "
        f"us; expected 100% within {TOLERANCE:.0%}"
        for each in profiles
        if abs(each.explained - 1.0) > TOLERANCE
    ]
