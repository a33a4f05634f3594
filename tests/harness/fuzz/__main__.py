"""The command line: `python -m tests.harness.fuzz`. What the package is:

    bytes   every decoder, in a process apart: a value or the decoder's own error, nothing else.
            atheris drives them (`guided`), and where it is not installed a seeded mutator
            (`plain`); both begin with the same valid inputs of the same targets.
    wire    a live service over raw sockets: valid requests cut at every byte, mutants, pipelines,
            streams; beside them all the time clients that are slow or never read.
    bombs   one large or deep body after the other: lists, steps, ids, gzip.
    schema  schemathesis, all of its checks, against a live service's own schema.

Beside each of the last three runs the watcher, a process of its own: `/livez` every 20 ms on a
connection of its own, and the service's resident memory. A phase holds what is promised if it has
no finding, no 5xx but 503 and asked-for 504, `/livez` always answered, no traceback in the log, and
memory that comes back. `progress` keeps what is done, `table` shows it.
"""

import sys

from tests.harness.fuzz.command import main

if __name__ == "__main__":
    sys.exit(main())
