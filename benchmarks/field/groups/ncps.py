"""ncps: closed-form and liquid time constant networks, which loop over their cells."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, batch_first, frame


def _cfc() -> nn.Module:
    from ncps.torch import CfC

    return CfC(4, 8)


def _cfc_wired() -> nn.Module:
    from ncps.torch import CfC
    from ncps.wirings import AutoNCP

    return CfC(4, AutoNCP(12, 3))


def _cfc_mixed() -> nn.Module:
    from ncps.torch import CfC

    return CfC(4, 8, proj_size=2, mixed_memory=True)


def _cfc_last() -> nn.Module:
    from ncps.torch import CfC

    return CfC(4, 8, return_sequences=False)


def _ltc() -> nn.Module:
    from ncps.torch import LTC

    return LTC(4, 6)


def _ltc_wired() -> nn.Module:
    from ncps.torch import LTC
    from ncps.wirings import AutoNCP

    class Policy(nn.Module):
        """The network alone, as most examples of the library use it: the state is dropped."""

        def __init__(self) -> None:
            super().__init__()
            self.rnn = LTC(4, AutoNCP(12, 3))

        def forward(self, x: torch.Tensor) -> Any:
            out, _ = self.rnn(x)
            return out

    return Policy()


def _cfc_cell() -> nn.Module:
    from ncps.torch import CfCCell

    return CfCCell(4, 8, backbone_units=16)


def _with_state(batch: int, time: int) -> tuple[torch.Tensor, ...]:
    return torch.randn(batch, time, 4), torch.randn(batch, 8)


CASES = (
    Case("CfC", _cfc, batch_first(4)),
    Case("CfC, state given", _cfc, _with_state),
    Case("CfC, wired", _cfc_wired, batch_first(4)),
    Case("CfC, mixed memory", _cfc_mixed, batch_first(4)),
    Case("CfC, last step alone", _cfc_last, batch_first(4), serves="last"),
    Case("LTC", _ltc, batch_first(4)),
    Case("LTC, wired, state dropped", _ltc_wired, batch_first(4)),
    Case(
        "CfCCell",
        _cfc_cell,
        lambda batch, time: (*frame(4)(batch, time), torch.zeros(batch, 8), 1.0),
        carry=lambda args, out: (args[0], out[1], args[2]),
    ),
)
