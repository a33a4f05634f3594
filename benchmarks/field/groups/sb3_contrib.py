"""sb3-contrib: the policies of recurrent PPO, one observation a call, as an agent acts."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case


def _policy(**changes: Any) -> nn.Module:
    import gymnasium
    import numpy as np
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

    actions = changes.pop("actions", None) or gymnasium.spaces.Discrete(3)
    observations = gymnasium.spaces.Box(-10, 10, (4,), np.float32)
    policy: nn.Module = RecurrentActorCriticPolicy(
        observations, actions, lambda _: 1e-3, net_arch=[8], lstm_hidden_size=6, **changes
    )
    return policy


def _discrete() -> nn.Module:
    return _policy()


def _shared() -> nn.Module:
    return _policy(shared_lstm=True, enable_critic_lstm=False, n_lstm_layers=2)


def _continuous() -> nn.Module:
    import gymnasium
    import numpy as np

    return _policy(actions=gymnasium.spaces.Box(-1, 1, (2,), np.float32))


def _actor() -> nn.Module:
    class Actor(nn.Module):
        """What acting needs, as `predict` does it: the action and the state of the actor."""

        def __init__(self) -> None:
            super().__init__()
            self.policy: Any = _policy()

        def forward(self, obs: torch.Tensor, state: Any, starts: torch.Tensor) -> Any:
            distribution, state = self.policy.get_distribution(obs, state, starts)
            return distribution.distribution.logits, state

    return Actor()


def _acting(layers: int) -> Any:
    def inputs(batch: int, time: int) -> tuple[Any, ...]:
        from sb3_contrib.common.recurrent.type_aliases import RNNStates

        zeros = tuple(torch.zeros(layers, batch, 6) for _ in range(4))
        return torch.randn(batch, 4), RNNStates(zeros[:2], zeros[2:]), torch.zeros(batch), True

    return inputs


def _actor_inputs(batch: int, time: int) -> tuple[Any, ...]:
    state = (torch.zeros(1, batch, 6), torch.zeros(1, batch, 6))
    return torch.randn(batch, 4), state, torch.zeros(batch)


def _carry(args: tuple[Any, ...], out: Any) -> tuple[Any, ...]:
    return args[0], out[3], args[2], True


CASES = (
    Case("RecurrentPPO policy", _discrete, _acting(1), carry=_carry),
    Case("RecurrentPPO policy, shared LSTM", _shared, _acting(2), carry=_carry),
    Case("RecurrentPPO policy, continuous", _continuous, _acting(1), carry=_carry),
    Case(
        "actor alone",
        _actor,
        _actor_inputs,
        carry=lambda args, out: (args[0], out[1], args[2]),
    ),
)
