"""What ends the work on a session file."""


class Trouble(Exception):
    """It was not done; the text says why in a line, and what to do."""
