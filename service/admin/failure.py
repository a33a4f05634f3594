"""What ends a verb of the tool: one line for the operator, and an exit code for scripts.

Failure 1: not found, damaged, or a file that cannot be read or written
  Usage 2: the command line says something that cannot be meant
  Unreachable 3: nothing answers at the address, or what answers is not Carousel
"""


class Failure(Exception):
    """The verb did not do what was asked; the text says why, and what to do.

    `ends_all`: the next session of many would fare no better.
    """

    exit_code = 1
    ends_all = False


class Usage(Failure):
    """A flag, a variable or an argument that cannot be used."""

    exit_code = 2
    ends_all = True


class Unreachable(Failure):
    """No answer, or not one of Carousel's."""

    exit_code = 3
    ends_all = True


def visible(text: str) -> str:
    """Text that came from elsewhere, so that it cannot move a terminal's cursor or break a line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
