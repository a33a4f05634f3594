"""Integer and boolean inputs whose example holds one value only: which others may be drawn.

A mask of nothing but True, or tokens that are all zero, would hide what forward does with others:
equal rows cannot tell whether they depend on each other.
"""

from collections.abc import Collection, Mapping

import torch

from carousel.export.module.layers import Calls
from carousel.export.module.original import Observation, Original

Span = tuple[int, int]  # the lowest and the highest value, both ends included


def find_spans(
    original: Original,
    seen: Observation,
    stated: Mapping[str, Span],
    lengths: str | None,
    fixed: Collection[str] = (),
) -> dict[str, Span]:
    """The values to draw for each such input, as far as the module takes them.

    Integers that are `fixed` are mostly lengths, and no length is 0.
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
        span = stated.get(name) or _span(value, seen.calls, 1 if name in fixed else 0)
        if _takes(original, {**values, name: draw_span(span, value.shape, value.dtype)}):
            found[name] = span
    return found


def draw_span(
    span: Span,
    shape: torch.Size | list[int],
    dtype: torch.dtype,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Values between the ends of `span`."""
    return torch.randint(span[0], span[1] + 1, list(shape), generator=generator).to(dtype)


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


def _span(value: torch.Tensor, calls: Calls, least: int) -> Span:
    if value.dtype == torch.bool:
        return 0, 1
    known = vocabulary(value, calls)
    one = int(value.flatten()[0])
    return (min(one, least), max(one, 1)) if known is None else (0, known - 1)


def _takes(original: Original, values: Mapping[str, torch.Tensor]) -> bool:
    try:
        outputs = original.run(values).outputs.values()
    except Exception:  # whatever the user's code says to other values
        return False
    return all(bool(torch.isfinite(each).all()) for each in outputs)
