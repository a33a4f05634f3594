"""What ends a benchmark, told to its user in a sentence."""


class Failure(Exception):
    """It could not be done; the message says what was wrong and, where known, how to mend it."""
