"""Integer and boolean inputs whose example holds one value only: which others may be drawn.

A mask of nothing but True, or tokens that are all zero, would hide what forward does with others:
equal rows cannot tell whether they depend on each other.
"""

from collections.abc import Collection, Mapping

import torch

from carousel.export.errors import ForwardFailed
from carousel.export.measured.sampling import Span, draw_span
from carousel.export.module.layers import Calls
from carousel.export.module.original import Observation, Original

_TRIES = 3
_MASK = (0, 1)


def find_spans(
    original: Original,
    seen: Observation,
    stated: Mapping[str, Span],
    lengths: str | None,
    fixed: Collection[str] = (),
) -> dict[str, Span]:
    """The values to draw for each such input, as far as the module takes them.

    Integers may be lengths, and no length is 0: where 0 is not taken they begin at 1.
    """
    found: dict[str, Span] = {}
    values = original.signature.tensors()
    for name, value in values.items():
        plain = value.dim() == 0 or value.is_floating_point() or value.is_complex()
        if (
            plain
            or name == lengths
            or not value.numel()
            or bool((value != value.flatten()[0]).any())
        ):
            continue
        spans = [stated[name]] if name in stated else _spans(value, seen.calls, name in fixed)
        for span in spans:
            if _takes(original, values, name, span):
                found[name] = span
                break
    return found


def vocabulary(value: torch.Tensor, calls: Calls) -> int | None:
    """How many ids every embedding knows that `value` was fed to; None where it was fed to none."""
    own = value.flatten().sort().values.long()
    sizes = [
        size
        for tokens, size in calls.tokens
        if tokens.numel() == value.numel()
        and torch.equal(tokens.flatten().sort().values.long(), own)
    ]
    return min(sizes, default=None)


def _spans(value: torch.Tensor, calls: Calls, fixed: bool) -> list[Span]:
    """What may be drawn, the widest first."""
    if value.dtype == torch.bool:
        return [(0, 1)]
    known = vocabulary(value, calls)
    if known is not None:
        return [(0, known - 1)]
    one = int(value.flatten()[0])
    if one == 1 and value.dim() > 1:
        return [(0, 1)]  # a mask, which need not be taken where it is all zeros
    return [(min(one, least), max(one, 1)) for least in ((1,) if fixed else (0, 1))]


def _takes(original: Original, values: Mapping[str, torch.Tensor], name: str, span: Span) -> bool:
    """Whether forward takes such values, the lowest among them: as many draws as show it."""
    generator = torch.Generator().manual_seed(0)
    value = values[name]
    draws = [draw_span(span, value.shape, value.dtype, generator) for _ in range(_TRIES)]
    lowest = [] if span == _MASK else [torch.full_like(value, span[0])]
    for each in (*lowest, *draws):
        try:
            outputs = original.run({**values, name: each}).outputs.values()
        except ForwardFailed:  # whatever the user's code says to other values
            return False
        if not all(bool(torch.isfinite(output).all()) for output in outputs):
            return False
    return True
