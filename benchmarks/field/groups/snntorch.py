"""snntorch: spiking neurons, whose membranes are given or kept in an attribute."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case, frame, time_first


def _leaky_net() -> nn.Module:
    import snntorch

    class Net(nn.Module):
        """The network of the library's first tutorials, over the steps of its input."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(5, 8), snntorch.Leaky(beta=0.9)
            self.fc2, self.lif2 = nn.Linear(8, 2), snntorch.Leaky(beta=0.8)

        def forward(self, x: torch.Tensor) -> Any:
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            spikes, membranes = [], []
            for step in range(x.size(0)):
                spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                spikes.append(spk2)
                membranes.append(mem2)
            return torch.stack(spikes), torch.stack(membranes)

    return Net()


def _slstm_net() -> nn.Module:
    import snntorch

    class Net(nn.Module):
        """The example of SLSTM's own documentation, over the steps of its input."""

        def __init__(self) -> None:
            super().__init__()
            self.slstm1 = snntorch.SLSTM(5, 8, threshold=0.1)
            self.slstm2 = snntorch.SLSTM(8, 2, threshold=0.1)

        def forward(self, x: torch.Tensor) -> Any:
            syn1, mem1 = self.slstm1.init_slstm()
            syn2, mem2 = self.slstm2.init_slstm()
            spikes, membranes = [], []
            for step in range(x.size(0)):
                spk1, syn1, mem1 = self.slstm1(x[step], syn1, mem1)
                spk2, syn2, mem2 = self.slstm2(spk1, syn2, mem2)
                spikes.append(spk2)
                membranes.append(mem2)
            return torch.stack(spikes), torch.stack(membranes)

    return Net()


def _leaky() -> nn.Module:
    import snntorch

    return snntorch.Leaky(beta=0.9)


def _rleaky() -> nn.Module:
    import snntorch

    return snntorch.RLeaky(beta=0.9, linear_features=5)


def _synaptic_hidden() -> nn.Module:
    import snntorch

    return nn.Sequential(
        nn.Linear(5, 8),
        snntorch.Synaptic(alpha=0.9, beta=0.8, init_hidden=True),
        nn.Linear(8, 2),
        snntorch.Leaky(beta=0.9, init_hidden=True, output=True),
    )


def _membrane(batch: int, time: int) -> tuple[torch.Tensor, ...]:
    return torch.randn(batch, 5), torch.zeros(batch, 5)


def _spikes_and_membrane(batch: int, time: int) -> tuple[torch.Tensor, ...]:
    return torch.randn(batch, 5), torch.zeros(batch, 5), torch.zeros(batch, 5)


CASES = (
    Case("Leaky net over time", _leaky_net, time_first(5)),
    Case("SLSTM net over time", _slstm_net, time_first(5)),
    Case("Leaky", _leaky, _membrane, carry=lambda args, out: (args[0], out[1])),
    Case("RLeaky", _rleaky, _spikes_and_membrane, carry=lambda args, out: (args[0], *out)),
    Case(
        "Sequential, membranes hidden",
        _synaptic_hidden,
        frame(5),
        carry=lambda args, out: args,
    ),
)
