"""A name is a hint: what is sent stays an input, what is carried is a state, however called."""

import pytest
import torch
from torch import nn

import tests.export.cases.named as named
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.models.manifest import Manifest
from tests.harness.export_run import proven, run, start
from tests.harness.export_served import frames, serve

R = torch.randn


def _inputs(manifest: Manifest) -> list[str]:
    return [each.name for each in manifest.spec.sent_inputs]


def _told(module: nn.Module, *example: torch.Tensor) -> Manifest:
    torch.manual_seed(2)
    return proven(module, *example).manifest


@pytest.mark.parametrize(
    ("module", "example", "inputs"),
    [
        (named.Frames(), (R(2, 9, 6),), ["hidden_states"]),
        (named.Policy(), (R(2, 4), torch.zeros(2, 8)), ["state"]),
        (named.Reads(), (R(2, 6), torch.zeros(2, 8), R(2, 8)), ["x", "memory"]),
        (named.Conditioned(), (R(2, 9, 6), R(2, 8)), ["x", "c"]),
        (named.Attends(), (R(2, 9, 6), R(2, 9, 6)), ["x", "encoder_hidden_states"]),
        (named.Statics(), (R(2, 9, 6), *(R(2, 4) for _ in "abde")), ["x", "a", "b", "d", "e"]),
    ],
)
def test_what_is_sent_stays_an_input(
    module: nn.Module, example: tuple[torch.Tensor, ...], inputs: list[str]
) -> None:
    """The first argument, conditions, and what an encoder made; one state is left, the layer's."""
    manifest = _told(module, *example)
    assert _inputs(manifest) == inputs
    assert len(manifest.spec.states) == 1
    assert manifest.spec.has_batch


@pytest.mark.parametrize("module", [named.Leaky(), named.LeakyFirst()])
def test_what_comes_back_under_its_own_name_is_carried(module: nn.Module) -> None:
    """Whatever the name is, and wherever it comes back."""
    made = proven(module, R(2, 4), torch.zeros(2, 4))
    (state,) = made.manifest.spec.states
    assert (state.name, made.manifest.spec.streaming) == ("mem", "step")
    x, kept, wanted = R(3, 5, 4), torch.zeros(3, 4), list[torch.Tensor]()
    for step in range(5):
        with torch.no_grad():
            kept = 0.9 * kept + module.get_submodule("fc")(x[:, step])
        wanted.append(torch.sigmoid(kept))
    for kind in made.manifest.programs:
        states = start(made, 3)
        for step in range(5):
            answer = run(made, kind, {"x": x[:, step]}, states)
            states = answer.states
            (found,) = answer.outputs.values()
            torch.testing.assert_close(found, wanted[step])


def test_streams_of_a_stack_are_inputs() -> None:
    """Both come back as themselves, and neither is the other's past."""
    assert _inputs(_told(named.Crossed(), R(2, 4), R(2, 4))) == ["x", "y"]


def test_time_varies_beside_many_inputs() -> None:
    """However many there are that do not change with it."""
    manifest = _told(named.Statics(), R(2, 9, 6), *(R(2, 4) for _ in "abde"))
    assert manifest.spec.inputs[0].axes == ("batch", "time", 6)
    assert manifest.spec.streaming == "step"


def test_a_number_that_counts_is_refused_by_name() -> None:
    """It would be the example's for ever; so it is where it is named a state."""
    example = (R(2, 6), R(2, 8), torch.tensor(0))
    with pytest.raises(ExportRefused, match="the number 't'") as refused:
        _told(named.Counts(), *example)
    assert "one number for each row" in refused.value.way_out
    with pytest.raises(InvalidRequest, match="'t' is one number for all rows"):
        proven(named.Counts(), *example, states=("h", "t"))


def test_a_state_that_is_written_in_place_is_refused_by_name() -> None:
    """A program's inputs stay what they are."""
    with pytest.raises(ExportRefused, match="forward writes into 'kept'"):
        _told(named.Writes(), R(2, 6), R(2, 8))


def test_the_order_of_states_is_seen_by_running() -> None:
    """c and h in, h and c out: chunks of a sequence show which is which."""
    torch.manual_seed(2)
    module = named.Swaps()
    made = proven(module, R(2, 5, 6), torch.zeros(2, 8), torch.zeros(2, 8))
    assert made.manifest.spec.streaming == "step"
    x, c, h = R(3, 7, 6), R(3, 8), R(3, 8)
    with torch.no_grad():
        expected = module(x, c, h)
    for kind in made.manifest.programs:
        answer = serve(made, kind, {"x": x}, {"c": c, "h": h})
        torch.testing.assert_close(answer.outputs["output"], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(answer.states["h"], expected[1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(answer.states["c"], expected[2], atol=1e-5, rtol=1e-5)


def test_the_order_of_states_of_a_frame_is_asked_for() -> None:
    """No run can tell; what the refusal says to type is right."""
    torch.manual_seed(2)
    module, example = named.SwapsUnnamed(), (R(2, 6), torch.zeros(2, 8), torch.zeros(2, 8))
    with pytest.raises(ExportRefused, match="in which order") as refused:
        proven(module, *example)
    assert "states={'c': '2', 'h': '1'} (--state c=2 --state h=1)" in refused.value.way_out
    made = proven(module, *example, states={"c": "2", "h": "1"})
    _check_swaps(module, made)


def test_the_order_of_states_of_a_frame_is_what_its_code_calls_them() -> None:
    """`return h * 2, h, c` of a forward that takes c before h."""
    torch.manual_seed(2)
    module, example = named.Swaps(), (R(2, 6), torch.zeros(2, 8), torch.zeros(2, 8))
    made = proven(module, *example)
    _check_swaps(module, made)


def _check_swaps(module: nn.Module, made: Proven) -> None:
    """Frame by frame, h and c each where it belongs."""
    x, state = R(4, 2, 6), (torch.zeros(2, 8), torch.zeros(2, 8))
    expected = []
    with torch.no_grad():
        for frame in x:
            y, h, c = module(frame, *state)
            state = c, h
            expected.append(y)
    zero = {"c": torch.zeros(2, 8), "h": torch.zeros(2, 8)}
    for kind in made.manifest.programs:
        found = frames(made, kind, {"x": x}, zero).outputs["output"]
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_a_state_that_may_be_left_out_is_taken_where_it_is_named() -> None:
    """In a list, though no layer takes it; a name that nothing fits is told."""
    torch.manual_seed(2)
    made = proven(named.InList(), R(2, 9, 6), states=("st",))
    assert [each.name for each in made.manifest.spec.states] == ["st.0"]
    assert (made.manifest.spec.streaming, made.manifest.spec.run_steps) == ("step", 1)
    with pytest.raises(InvalidRequest, match="the example gives nothing for 'encoder_hidden"):
        proven(named.Attends(), R(2, 9, 6), states=("encoder_hidden_states",))


def test_names_of_what_is_returned_answer_for_the_order() -> None:
    """Nobody is asked where forward says which is which."""
    manifest = _told(named.SwapsNamed(), R(2, 6), torch.zeros(2, 8), torch.zeros(2, 8))
    assert [each.name for each in manifest.spec.states] == ["c", "h"]
    assert manifest.origins is not None
    assert "returned as output.c" in manifest.origins["c"]


@pytest.mark.parametrize("rows", [(), (3,)])
def test_a_flag_of_one_value_in_the_example_invents_no_state(rows: tuple[int, ...]) -> None:
    """Both sides of it are tried, also where no size varies: a reset is no start of a session."""
    torch.manual_seed(2)
    module = named.Resets()
    done = torch.ones(*(rows or (1,)), *(() if not rows else (1,)), dtype=torch.bool)
    made = proven(module, R(*rows, 6), torch.zeros(*rows, 8), done)
    assert [each.name for each in made.manifest.spec.states] == ["h"]


def test_what_changes_nothing_but_its_own_output_is_no_state() -> None:
    """Lengths that come back halved stay an input, and their output an output."""
    manifest = _told(named.HalvesLengths(), R(2, 9, 6), torch.tensor([9, 6]))
    assert _inputs(manifest) == ["x", "sizes"]
    assert len(manifest.spec.outputs) == 2


def test_an_output_that_does_not_fit_a_state_is_told() -> None:
    """Of another shape, or named for two."""
    module, example = named.Unnamed(), (R(2, 5, 6), *(torch.zeros(2, 8) for _ in "abd"))
    with pytest.raises(InvalidRequest, match=r"'0' is \(2, 5, 8\)"):
        proven(module, *example, states={"a": "0"})
    with pytest.raises(InvalidRequest, match="named for 'b' and for another"):
        proven(module, *example, states={"a": "1", "b": "1"})


def test_a_state_that_is_returned_first_is_found_by_its_name() -> None:
    """Though the answer is what comes first as a rule."""
    manifest = _told(named.StateFirst(), R(2, 6), torch.zeros(2, 8))
    assert [each.name for each in manifest.spec.states] == ["h"]


def test_a_layer_with_an_example_of_one_step_keeps_its_state() -> None:
    """Where the only step's answer is the state, what comes back last is it."""
    manifest = _told(nn.GRU(6, 8, batch_first=True), R(1, 1, 6), torch.zeros(1, 1, 8))
    assert manifest.spec.streaming == "step"
    assert len(manifest.spec.states) == 1


def test_a_mask_that_covers_nothing_is_held_against_no_one() -> None:
    """The mean of no frames is no number; such masks are not what is sent."""
    manifest = _told(named.Pools(), R(2, 9, 6), torch.ones(2, 9))
    assert _inputs(manifest) == ["x", "mask"]
    assert manifest.spec.streaming == "none"


def test_several_memories_are_paired_by_running() -> None:
    """In the order in which they are returned."""
    torch.manual_seed(2)
    module = named.Unnamed()
    made = proven(module, R(2, 5, 6), *(torch.zeros(2, 8) for _ in "abd"))
    assert [each.name for each in made.manifest.spec.states] == ["a", "b", "d"]
    x, states = R(3, 7, 6), {name: R(3, 8) for name in "abd"}
    with torch.no_grad():
        expected = module(x, *states.values())
    for kind in made.manifest.programs:
        answer = serve(made, kind, {"x": x}, states)
        torch.testing.assert_close(answer.outputs["output"], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(answer.states["d"], expected[3], atol=1e-5, rtol=1e-5)


def test_a_pair_in_a_named_tuple_is_no_traceback() -> None:
    """Its states are those of the layer."""
    manifest = _told(named.Optional(), R(2, 9, 6))
    assert manifest.spec.streaming == "step"
    assert len(manifest.spec.states) == 2
