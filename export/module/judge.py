"""Decisions by value, judged: each is run again with the other answer.

One that then raises is a guard (`assert not x.isnan().any()`), a number that changes nothing was
only looked at (a log); anything else is refused by its line.
"""

from collections.abc import Collection, Mapping

import torch

from carousel.export.errors import ExportRefused, ForwardFailed
from carousel.export.measured.tolerance import difference
from carousel.export.module.decisions import Decision, Decisions
from carousel.export.module.original import Original, Values


def refuse_decisions(original: Original, values: Values, constants: Collection[str] = ()) -> None:
    """Raise ExportRefused where forward decides by what `values` hold, `constants` left aside."""
    plain = Decisions()
    expected = original.run(values, decisions=plain, constants=constants).outputs
    for decision in plain.found:
        if not _harmless(original, values, constants, decision, expected):
            raise _refusal(decision)


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


def _harmless(
    original: Original,
    values: Values,
    constants: Collection[str],
    decision: Decision,
    expected: Mapping[str, torch.Tensor],
) -> bool:
    try:
        found = original.run(values, decisions=Decisions(decision), constants=constants).outputs
    except ForwardFailed as failed:  # whatever the user's code raises on inputs it does not like
        return decision.yes_or_no or isinstance(failed.cause, AssertionError)
    return not decision.yes_or_no and all(
        name in found and difference(each, found[name]).error == 0
        for name, each in expected.items()
    )
