"""The networks that hear "hello" say "ohlol", whole and a letter at a time."""

import pytest
import torch
from torch import nn

from carousel.models.zoo.catalog import REFERENCES
from carousel.models.zoo.hello import HelloRNNCell, one_hot, spell


def _build(name: str) -> nn.Module:
    return REFERENCES[name].build(lambda line: None)


def test_letters_are_one_hot_in_the_order_e_h_l_o() -> None:
    """The features, and so the scores, are e, h, l, o in this order; the example is "hello"."""
    assert torch.equal(one_hot("ehlo")[:, 0], torch.eye(4))
    for name in ("hello-rnncell", "hello-rnn"):
        (x,) = REFERENCES[name].example()
        assert x[:, 0].argmax(dim=1).tolist() == [1, 0, 2, 2, 3]


def test_cell_says_ohlol_whole() -> None:
    """hello-rnncell hears the whole word in one call."""
    assert spell(_build("hello-rnncell")(one_hot("hello"))) == "ohlol"


def test_rnn_says_ohlol_whole() -> None:
    """hello-rnn hears the whole word in one call."""
    scores, _ = _build("hello-rnn")(one_hot("hello"))  # (T, 1, H)
    assert spell(scores) == "ohlol"


def test_cell_says_ohlol_step_by_step() -> None:
    """hello-rnncell hears one letter at a time, its hidden state carried by hand."""
    module = _build("hello-rnncell")
    assert isinstance(module, HelloRNNCell)
    hidden = torch.zeros(1, 4)  # (B, H)
    said = ""
    for letter in "hello":
        hidden = module.cell(one_hot(letter)[0], hidden)  # (B, H)
        said += spell(hidden.unsqueeze(0))
    assert said == "ohlol"


def test_rnn_says_ohlol_step_by_step() -> None:
    """hello-rnn hears one letter at a time, its state handed from call to call."""
    module = _build("hello-rnn")
    state = torch.zeros(1, 1, 4)  # (L, B, H)
    said = ""
    for letter in "hello":
        scores, state = module(one_hot(letter), state)  # (1, 1, H), (L, B, H)
        said += spell(scores)
    assert said == "ohlol"


@pytest.mark.parametrize("name", ["hello-rnncell", "hello-rnn"])
def test_scores_have_a_wide_margin(name: str) -> None:
    """The right letter leads by far more than a backend's rounding could take away."""
    answer = _build(name)(one_hot("hello"))
    scores = answer[0] if isinstance(answer, tuple) else answer  # (T, 1, H)
    best, second = scores.topk(2, dim=-1).values.unbind(-1)  # (T, 1)
    assert bool((best - second > 1.0).all())


def test_cell_starts_every_row_of_a_batch_at_zeros() -> None:
    """Two words in one batch are answered as each alone."""
    module = _build("hello-rnncell")
    words = (one_hot("hello"), one_hot("olleh"))
    together = module(torch.cat(words, dim=1))  # (T, B, H)
    alone = torch.cat([module(word) for word in words], dim=1)  # (T, B, H)
    torch.testing.assert_close(together, alone)
