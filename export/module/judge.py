"""Decisions by value, judged: each is run again with the other answer.

One that then raises is a guard (`assert not x.isnan().any()`), a number that changes nothing was
only looked at (a log). Where forward really goes both ways, and one of them is right for all (the
other saves time: `if not mask.any()`), programs go that way. Anything else is refused by its line.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from carousel.export.errors import ExportRefused, ForwardFailed
from carousel.export.measured.sampling import can_hold
from carousel.export.measured.tolerance import USUAL, difference
from carousel.export.module.decisions import Decision, Decisions
from carousel.export.module.original import Original, Values

_MARKS = 6  # numbers of those that forward compares with
_NUMBERS = (None, 1e30, -1e30, 0.0)  # instead of one that is taken out; None: another like it
_ABOVE = 3  # times as loud as one of them


@dataclass(frozen=True, slots=True)
class _Probe:
    """Inputs, what the original answers by itself, and how it decides on the way."""

    values: Values
    outputs: Mapping[str, torch.Tensor]
    decisions: Decisions


def judge_decisions(
    original: Original, several: Iterator[Values], constants: Collection[str] = ()
) -> None:
    """Set `original.answers` where forward decides by what values hold; raises ExportRefused
    where no answer is right for all. `constants` are no such values.

    Of `several` draws the first tells whether there are any.
    """
    original.answers, original.compared = {}, frozenset()
    plain, values = Decisions(), next(several)
    outputs = original.run(values, decisions=plain, constants=constants).outputs
    first = _Probe(values, outputs, plain)
    doubtful = list(_doubtful(original, first, plain, {}, constants))
    if not doubtful:
        return
    probes = [first, *_probes(original, several, first, constants)]
    answers: dict[str, bool] = {}
    while doubtful:
        answer = _right_for_all(original, doubtful[0], answers, probes)
        if answer is None:
            raise _refusal(doubtful[0])
        answers[doubtful[0].line] = answer
        doubtful = list(_left(original, probes, answers, constants))
    original.answers = answers
    original.compared = frozenset().union(*(each.decisions.compared for each in probes))


def _refusal(decision: Decision) -> ExportRefused:
    if decision.yes_or_no:
        return ExportRefused(
            f"forward decides by the values of its inputs at {decision.line}, and a program "
            "records one way only",
            "compute both ways and choose with torch.where, or decide outside the module",
        )
    return ExportRefused(
        f"forward takes values of its inputs out of torch at {decision.line}, and a program "
        "records them as constants",
        "compute with tensors throughout: x / x.abs().max(), not x / float(x.abs().max())",
    )


def _doubtful(
    original: Original,
    probe: _Probe,
    met: Decisions,
    answers: Mapping[str, bool],
    constants: Collection[str],
) -> Iterator[Decision]:
    """Decisions that were met on these inputs, and are neither guards nor only looked at."""
    for decision in met.found:
        for number in (None,) if decision.yes_or_no else _NUMBERS:
            twisted = Decisions(decision, number)
            try:
                found = original.run(
                    probe.values, decisions=twisted, constants=constants, answers=answers
                ).outputs
            except ForwardFailed as failed:  # whatever the user's code raises on what it dislikes
                harmless = decision.yes_or_no or isinstance(failed.cause, AssertionError)
            else:
                harmless = not decision.yes_or_no and all(
                    name in found and difference(each, found[name]).error == 0
                    for name, each in probe.outputs.items()
                )
            if not harmless:
                yield decision
                break


def _left(
    original: Original,
    probes: Sequence[_Probe],
    answers: Mapping[str, bool],
    constants: Collection[str],
) -> Iterator[Decision]:
    """What is still doubtful with these answers, wherever it is met."""
    for probe in probes:
        met = Decisions()
        original.run(probe.values, decisions=met, constants=constants, answers=answers)
        yield from _doubtful(original, probe, met, answers, constants)


def _probes(
    original: Original, several: Iterator[Values], first: _Probe, constants: Collection[str]
) -> Iterator[_Probe]:
    """Runs that make forward decide one way and the other."""
    for values in (*several, *_marked(first.values, constants, first.decisions.compared)):
        decisions = Decisions()
        with suppress(ForwardFailed):  # whatever it says to such values
            outputs = original.run(values, decisions=decisions, constants=constants).outputs
            yield _Probe(values, outputs, decisions)


def _marked(
    values: Values, constants: Collection[str], compared: Collection[float]
) -> Iterator[Values]:
    """Each input full of a number that forward compares with, in part and wholly; and as loud."""
    for name, each in values.items():
        if name in constants or each.numel() == 0:
            continue
        for mark in _marks(compared, each.dtype):
            filled = torch.full_like(each, mark if each.is_floating_point() else int(mark))
            yield {**values, name: filled}
            partly = each.clone()
            partly[:1] = filled[:1]
            yield {**values, name: partly}
            if each.is_floating_point() and mark:
                peak = max(each.abs().max().item(), 1e-9)
                yield {**values, name: each * (_ABOVE * abs(mark) / peak)}


def _marks(compared: Collection[float], dtype: torch.dtype) -> list[float]:
    """Zero and the numbers; of integers those beside them too, as lengths are counted down."""
    found = [0.0, *compared]
    if not dtype.is_floating_point:
        found = [number + more for number in found for more in (0, 1, -1)]
    return [each for each in dict.fromkeys(found) if can_hold(dtype, each)][:_MARKS]


def _right_for_all(
    original: Original,
    decision: Decision,
    answers: Mapping[str, bool],
    probes: Sequence[_Probe],
) -> bool | None:
    """The answer that gives what forward gives by itself, also where it answers otherwise."""
    natural = set().union(*(each.decisions.answers.get(decision.line, ()) for each in probes))
    if not decision.yes_or_no or len(natural) < 2:
        return None
    for answer in (False, True):
        if all(_agrees(original, {**answers, decision.line: answer}, each) for each in probes):
            return answer
    return None


def _agrees(original: Original, answers: Mapping[str, bool], probe: _Probe) -> bool:
    try:
        found = original.run(probe.values, answers=answers).outputs
    except ForwardFailed:  # the way for other values
        return False
    return found.keys() == probe.outputs.keys() and all(
        USUAL.difference(each, found[name]).passes for name, each in probe.outputs.items()
    )
