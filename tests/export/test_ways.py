"""Forward that decides by values: served where one way is right for all, refused elsewhere."""

import pytest
import torch
from torch import nn

import tests.export.cases.ways as ways
from carousel.export.errors import ExportRefused
from tests.harness.export_run import proven, zeros
from tests.harness.export_served import frames, whole

X = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(2))
LOUD = torch.cat([X, X * 100, X], 1)


def _with_nan() -> torch.Tensor:
    x = torch.cat([X, X], 1)
    x[1, 3, 2] = x[0, 0, 0] = float("nan")
    return x


def test_an_agent_begins_anew_whenever_it_is_told_to() -> None:
    """Its example had no beginning; mixed beginnings are answered as the module answers them."""
    module = ways.Agent().eval()
    made = proven(module, *ways.agent_example())
    spec = made.manifest.spec
    assert spec.streaming == "step"
    assert [each.name for each in spec.states] == ["state.0", "state.1"]
    assert any("at ways.py" in note for note in made.manifest.parity.skipped)
    obs = torch.randn(6, 3, 4)
    begun = ((0, 0, 0), (0, 1, 0), (0, 0, 0), (1, 1, 1), (0, 0, 1), (0, 0, 0))
    starts = torch.tensor(begun).float()
    state, expected = ways.agent_example()[1], []
    with torch.no_grad():
        for one, begins in zip(obs, starts, strict=True):
            answer, state = module(one, state, begins)
            expected.append(answer)
    for kind in made.manifest.programs:
        found = frames(made, kind, {"obs": obs, "starts": starts}, zeros(made, 3))
        output = found.outputs[spec.outputs[0].name]
        torch.testing.assert_close(output, torch.stack(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (ways.Clamps(), LOUD),
        (ways.ClampsNested(), LOUD),
        (ways.Mends(), _with_nan()),
        (ways.Stabilised(), LOUD),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_way_that_is_right_for_all_is_taken(module: nn.Module, x: torch.Tensor) -> None:
    """Also for values that take the other way in the module."""
    made = proven(module, X)
    assert made.manifest.spec.streaming == "step"
    with torch.no_grad():
        expected = [module.eval()(each) for each in (X, x)]
    for kind in made.manifest.programs:
        for given, wanted in zip((X, x), expected, strict=True):
            torch.testing.assert_close(whole(made, kind, given), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (ways.FirstIsSpecial(), (X[:, 0], torch.zeros(3, 6))),
        (ways.Silent(), (X,)),
        (ways.Rare(), (X,)),
        (ways.Jumps(), (X,)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_two_ways_with_two_answers_are_refused(
    module: nn.Module, example: tuple[torch.Tensor, ...]
) -> None:
    """By the line that decides, whether or not the example shows both."""
    with pytest.raises(ExportRefused, match=r"values of its inputs.* at ways\.py:\d+"):
        proven(module, *example)
