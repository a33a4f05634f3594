"""The command line: `python -m tests.harness.replicas`."""

import sys

from tests.harness.replicas.command import main

if __name__ == "__main__":
    sys.exit(main())
