"""What names say about states, and what they must not be taken to say."""

import pytest

from carousel.export.reading.names import is_state, may_be_state, pair_by_name

PAIRED = [
    (["h", "c"], ["hn", "cn"], ["hn", "cn"]),
    (["h0", "c0"], ["cn", "hn"], ["hn", "cn"]),
    (["hx", "cx"], ["hy", "cy"], ["hy", "cy"]),
    (["initial_h", "initial_c"], ["Y_c", "Y_h"], ["Y_h", "Y_c"]),
    (["prev_h", "prev_c"], ["new_c", "new_h"], ["new_h", "new_c"]),
    (["state"], ["stateN"], ["stateN"]),
    (["x_in"], ["x_out"], ["x_out"]),
    (["cache_a", "cache_b"], ["cache_b_next", "cache_a_next"], ["cache_a_next", "cache_b_next"]),
    (
        ["input_states_1", "input_states_2"],
        ["output_states_2", "output_states_1"],
        ["output_states_1", "output_states_2"],
    ),
    (["inputStates"], ["outputStates"], ["outputStates"]),
    (
        ["h", "h_1", "h_10"],
        ["h_10_next", "h_1_next", "h_next"],
        ["h_next", "h_1_next", "h_10_next"],
    ),
    (["state", "state_next"], ["state_next_out", "state_out"], ["state_out", "state_next_out"]),
    (
        ["cache_last_time", "cache_last_channel", "cache_last_channel_len"],
        ["cache_last_channel_len_next", "cache_last_channel_next", "cache_last_time_next"],
        ["cache_last_time_next", "cache_last_channel_next", "cache_last_channel_len_next"],
    ),
]


@pytest.mark.parametrize(("inputs", "outputs", "expected"), PAIRED)
def test_names_tell_pairs(inputs: list[str], outputs: list[str], expected: list[str]) -> None:
    """Every way that people's exporters name the old and the new value."""
    found = pair_by_name(dict.fromkeys(inputs, outputs))
    assert found == dict(zip(inputs, expected, strict=True))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["a", "b"], ["p", "q"]),
        (["s1", "s2"], ["t1", "t2"]),
        (["hidden"], ["hidden_out", "hidden_next"]),
        (["state_1"], ["state_10"]),
        (["input"], ["output"]),
        (["x"], ["y"]),
        (["mix"], ["enh"]),
    ],
)
def test_names_that_say_nothing_are_not_read(inputs: list[str], outputs: list[str]) -> None:
    """No pair by the order of sorting, by prefixes, or where two outputs would fit."""
    assert pair_by_name(dict.fromkeys(inputs, outputs)) == {}


def test_only_outputs_of_its_shape_are_an_inputs() -> None:
    """A name that fits is nothing where shape and dtype do not."""
    assert pair_by_name({"h": ["other"], "c": ["hn", "cn"]}) == {"c": "cn"}


@pytest.mark.parametrize(
    "name", ["state", "stateN", "h0", "c_0", "hn", "hidden_2", "conv_cache", "lstm_h_in", "rnn1_c"]
)
def test_states_are_called_so(name: str) -> None:
    """Words that are used of nothing else."""
    assert is_state(name)


@pytest.mark.parametrize(
    "name", ["x", "input", "sr", "estate", "cachet", "h", "mix", "x.1", "lstm_in"]
)
def test_other_inputs_are_not(name: str) -> None:
    """Parts of words are no words; a lone letter may be a state and need not be."""
    assert not is_state(name)
    assert may_be_state(name) == (name == "h")
