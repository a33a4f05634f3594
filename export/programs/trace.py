"""The trace: one recording of the lifted module, from which both programs are made."""

import io
from collections.abc import Sequence

import torch

from carousel.export.programs.lift import Lifted


def trace(lifted: Lifted, example: Sequence[torch.Tensor]) -> torch.jit.ScriptModule:
    """Record one run of `lifted` on `example`."""
    lifted.training = False  # not eval(): that would run the user's own train()
    with torch.no_grad():
        traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            lifted, tuple(example), check_trace=False
        )
    return traced


def script_bytes(traced: torch.jit.ScriptModule, freeze: bool) -> bytes:
    """The trace as a TorchScript archive, its weights inlined with `freeze`."""
    buffer = io.BytesIO()
    if freeze:
        traced = torch.jit.freeze(traced.eval(), optimize_numerics=False)
    torch.jit.save(traced, buffer)
    return buffer.getvalue()
