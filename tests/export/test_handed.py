"""States of frames that come back as they were given, to another place or until an event."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.export.cases import handed
from tests.harness.export_run import proven, zeros
from tests.harness.export_served import frames

_FRAMES, _EVENT = 10, 6


def _zeros(*sizes: int) -> Tensor:
    return torch.zeros(2, *sizes)


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (handed.Taps, (_zeros(6), _zeros(4), _zeros(4))),
        (handed.Biquad, (_zeros(4), _zeros(4), _zeros(4), _zeros(4))),
        (handed.Dilated, (_zeros(6), _zeros(6))),
        (handed.DilatedLstm, ((_zeros(6), _zeros(6)), (_zeros(6), _zeros(6)))),
        (handed.Added, (_zeros(6), _zeros(6))),
        (handed.Held, (_zeros(6), _zeros(6))),
        (handed.Counts, (_zeros(6), torch.zeros(2, dtype=torch.int64))),
        (handed.Latched, (_zeros(6), torch.zeros(2, dtype=torch.bool))),
    ],
)
def test_frames_go_on_as_a_loop_that_hands_states_back_by_their_places(
    kind: type[nn.Module], states: tuple[Any, ...]
) -> None:
    """Nothing but x is sent, and an event that the example has not is answered as well."""
    torch.manual_seed(0)
    module = kind().eval()
    x = torch.randn(_FRAMES, 2, 4, generator=torch.Generator().manual_seed(1)).clamp(-3, 3)
    made = proven(module, x[0].clone(), *states)
    x[_EVENT, :, 0] = 5
    wanted = list[Tensor]()
    with torch.no_grad():
        for each in x:
            answer, *states_after = module(each, *states)
            wanted.append(answer)
            states = tuple(states_after)
    spec = made.manifest.spec
    assert [each.name for each in spec.inputs] == ["x"]
    for program in made.manifest.programs:
        found: Mapping[str, Tensor] = frames(made, program, {"x": x}, zeros(made, 2)).outputs
        [output] = found.values()
        torch.testing.assert_close(output, torch.stack(wanted), atol=1e-5, rtol=1e-5)


def test_what_comes_back_whatever_happens_is_an_input_if_it_is_said_to_be() -> None:
    """No event changes it: that it is held does not follow."""
    torch.manual_seed(0)
    example = torch.randn(2, 4), _zeros(6), torch.randn(2, 6)
    spec = proven(handed.Passed(), *example, states=("h",)).manifest.spec
    assert len(spec.states) == 1
    assert {each.name for each in spec.sent_inputs} == {"x", "wish"}
