"""mambapy: Mamba in plain PyTorch, over sequences and one step a call."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, batch_first, tokens


def _config(**changes: Any) -> Any:
    from mambapy.mamba import MambaConfig

    return MambaConfig(d_model=8, n_layers=2, d_state=4, **changes)


def _mamba() -> nn.Module:
    from mambapy.mamba import Mamba

    return Mamba(_config())


def _mamba_loop() -> nn.Module:
    from mambapy.mamba import Mamba

    return Mamba(_config(pscan=False))


def _language_model() -> nn.Module:
    from mambapy.mamba import Mamba, RMSNorm

    # The library's own LM cannot be imported without a GPU: it imports mamba_ssm.
    return nn.Sequential(nn.Embedding(24, 8), Mamba(_config()), RMSNorm(8), nn.Linear(8, 24))


def _step() -> nn.Module:
    from mambapy.mamba import Mamba

    class Step(nn.Module):
        """The library's way to generate: `step` and the caches that it hands back."""

        def __init__(self) -> None:
            super().__init__()
            self.mamba = Mamba(_config())

        def forward(self, x: torch.Tensor, caches: Any) -> Any:
            return self.mamba.step(x, list(caches))

    return Step()


def _with_caches(batch: int, time: int) -> tuple[Any, ...]:
    cache = (torch.zeros(batch, 16, 4), torch.zeros(batch, 16, 3))
    return torch.randn(batch, 8), [cache, cache]


CASES = (
    Case("Mamba", _mamba, batch_first(8)),
    Case("Mamba, pscan off", _mamba_loop, batch_first(8)),
    Case("language model", _language_model, tokens(24)),
    Case("Mamba.step", _step, _with_caches, carry=lambda args, out: (args[0], out[1])),
)
