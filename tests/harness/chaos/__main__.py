"""The command line: `python -m tests.harness.chaos`."""

import sys

from tests.harness.chaos.command import main

if __name__ == "__main__":
    sys.exit(main())
