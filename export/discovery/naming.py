"""What the parameters of a forward are called, where they are states."""

import re
from collections.abc import Sequence

# What an encoder made is what a decoder is given, and not its own.
_STATE_NAME = re.compile(
    r"[hc]|[hc]x|hc|[hc]_?[0nt]|h_?prev|c_?prev|prev_h|prev_c|carry|\w*cache\w*|\w*recurrent\w*"
    r"|(?!enc)\w*(hidden|state)\w*|(\w*_)?[hc]xs?"
)
_PLAIN_HIDDEN = re.compile(r"h|hx|hc|h_?[0nt]|h_?prev|prev_h|hidden|carry")
_CELL = re.compile(r"c|cx|c_?[0nt]|c_?prev|prev_c")
_FRAME = re.compile(r"x|x_?t|xs|inputs?|input_\w*|obs\w*|frames?|features?|tokens?")


def is_surely_named(parameter: str, parameters: Sequence[str]) -> bool:
    """Whether its name says that a parameter is a state, beside the others.

    The first is what comes in, whatever it is called, unless that is another. A `c` without an `h`
    is a condition.
    """
    parameters = [each.lower() for each in parameters]
    name = parameter.lower()
    if name == parameters[0]:
        others = any(_FRAME.fullmatch(each) for each in parameters[1:])
        return others and _PLAIN_HIDDEN.fullmatch(name) is not None
    if is_cell(name):
        return any(_PLAIN_HIDDEN.fullmatch(each) for each in parameters)
    return is_named_so(parameter)


def is_cell(name: str) -> bool:
    """Whether a parameter is called as the cell state of an LSTM is."""
    return _CELL.fullmatch(name.lower()) is not None


def is_named_so(name: str) -> bool:
    """Whether a parameter, or a tensor of one, is called what states are called."""
    return _STATE_NAME.fullmatch(name.split(".", 1)[0].lower()) is not None
