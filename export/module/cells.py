"""A bare cell, and the one-layer network equal to it, which runs whole sequences at once."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from carousel.export.discovery.state import States


class SteppedCell(nn.Module):
    """The untouched cell, stepped by hand over (T, B, F); called and answering as nn.LSTM does."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        """(T, B, F) gives (T, B, H) and the final state, (1, B, H) or a pair of them."""
        paired = isinstance(self.cell, nn.LSTMCell)
        state: Any = None  # (B, H), or a pair of them
        if hx is not None:
            state = tuple(part[0] for part in hx) if paired else hx[0]
        outputs = []
        for step in input:  # (B, F)
            state = self.cell(step, state)
            outputs.append(state[0] if paired else state)
        final = tuple(part[None] for part in state) if paired else state[None]  # (1, B, H)
        return torch.stack(outputs), final


def network_of(cell: nn.RNNCellBase) -> nn.RNNBase:
    """The one-layer RNN, LSTM or GRU with the weights of `cell`."""
    sizes = cell.input_size, cell.hidden_size
    network: nn.RNNBase
    if isinstance(cell, nn.LSTMCell):
        network = nn.LSTM(*sizes, bias=cell.bias)
    elif isinstance(cell, nn.GRUCell):
        network = nn.GRU(*sizes, bias=cell.bias)
    else:
        assert isinstance(cell, nn.RNNCell)
        network = nn.RNN(*sizes, bias=cell.bias, nonlinearity=cell.nonlinearity)
    network.to(cell.weight_ih.dtype)
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            getattr(network, f"{name}_l0").copy_(weight)
    for weight in network.parameters():
        weight.requires_grad_(False)
    network.training = False
    return network


def of_network(states: States) -> States:
    """The states found in a stepped cell as those of its network, which has no loop."""
    variables = tuple(
        replace(each, name="hc"[index]) for index, each in enumerate(states.variables)
    )
    return replace(states, variables=variables, alone=(), looped=())


def sequence_example(example: object) -> tuple[torch.Tensor, ...]:
    """The example of a cell, (B, F) or (F,), as a sequence of one step; a state is left out."""
    first = example[0] if isinstance(example, (tuple, list)) else example
    assert isinstance(first, torch.Tensor)
    return (first.reshape(1, -1, first.shape[-1]),)  # (1, B, F)
