"""What libraries hand out is taken as it is; the classes here stand where the libraries' own do."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from carousel import export_model
from carousel.export.adapters.holder import module_of
from carousel.export.command.factory import load_target, parse_input
from carousel.export.errors import InvalidRequest

State = tuple[torch.Tensor, torch.Tensor]


class RNNStates(NamedTuple):
    """Of the actor and of the critic."""

    pi: State
    vf: State


class Policy(nn.Module):
    """Called as sb3-contrib's recurrent policies are; actions are drawn unless told otherwise."""

    __module__ = "sb3_contrib.common.recurrent.policies"

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 6), nn.Linear(6, 3)
        self.lstm_hidden_state_shape = (1, 1, 6)

    def forward(
        self,
        obs: torch.Tensor,
        lstm_states: RNNStates,
        episode_starts: torch.Tensor,
        deterministic: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, RNNStates]:
        """obs (B, 4)."""
        kept = (1.0 - episode_starts).view(1, -1, 1)
        states = (lstm_states.pi[0] * kept, lstm_states.pi[1] * kept)
        out, new = self.lstm(obs.unsqueeze(0), states)
        scores = self.head(out[0])
        if deterministic:
            actions = scores.argmax(-1)
        else:
            actions = torch.multinomial(scores.softmax(-1), 1)[:, 0]
        return actions, scores, RNNStates(new, lstm_states.vf)


class RecurrentPPO:
    """An algorithm that holds a policy, if it has one yet."""

    __module__ = "sb3_contrib.ppo_recurrent.ppo_recurrent"

    def __init__(self, policy: nn.Module | None) -> None:
        self.policy = policy


class Forecaster:
    """One that was trained."""

    __module__ = "darts.models.forecasting.rnn_model"

    def __init__(self) -> None:
        self.model = nn.GRU(4, 6, batch_first=True)


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    aliases: Any = ModuleType("sb3_contrib.common.recurrent.type_aliases")
    aliases.RNNStates = RNNStates
    monkeypatch.setitem(sys.modules, aliases.__name__, aliases)


def test_an_algorithm_is_exported_by_an_observation_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its states begin at zeros, its actions are the likeliest, and both are said."""
    artifact = export_model(
        RecurrentPPO(Policy()), torch.randn(3, 4), name="agent", repository=tmp_path
    )
    spec = artifact.manifest.spec
    assert spec.streaming == "step"
    assert {"obs", "episode_starts"} <= {each.name for each in spec.inputs}
    assert {each.name for each in spec.states} >= {"lstm_states.0.0", "lstm_states.0.1"}
    said = capsys.readouterr()
    for words in ("its policy is exported", "begin at zeros", "the likeliest action"):
        assert words in said.out + said.err


def test_actions_may_be_drawn_after_all(tmp_path: Path) -> None:
    """Which no program can be equal to: what the example says is left as it is."""
    given = {"obs": torch.randn(3, 4), "deterministic": False}
    states = (torch.zeros(1, 3, 6), torch.zeros(1, 3, 6))
    given |= {"lstm_states": RNNStates(states, states), "episode_starts": torch.zeros(3)}
    with pytest.raises(Exception, match=r"random|two runs"):
        export_model(Policy(), given, name="agent", repository=tmp_path, quiet=True)


def test_a_forecaster_is_exported_by_its_network() -> None:
    """Found by the path of its class; one without a network yet, and others, are told."""
    forecaster = Forecaster()
    assert module_of(forecaster).module is forecaster.model
    with pytest.raises(InvalidRequest, match="train it first"):
        module_of(RecurrentPPO(None))
    with pytest.raises(InvalidRequest, match="is expected, not function"):
        module_of(lambda x: x)


@pytest.mark.parametrize("prefix", ["", "net."])
def test_a_checkpoint_of_lightning_is_a_file_of_weights(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the module that was trained around the one that is exported."""
    (tmp_path / "net_of_mine.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.GRU(4, 6)\n"
    )
    monkeypatch.chdir(tmp_path)
    weights = nn.GRU(4, 6).state_dict()
    held = {f"{prefix}{name}": each for name, each in weights.items()}
    torch.save({"pytorch-lightning_version": "2.5.0", "state_dict": held, "epoch": 3}, "best.ckpt")
    target = load_target("net_of_mine:make", "gru", "best.ckpt", [parse_input("input=7,3,4")])
    loaded = target.module.state_dict()
    assert all(torch.equal(loaded[name], each) for name, each in weights.items())
    sys.modules.pop("net_of_mine", None)
