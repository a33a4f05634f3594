"""`python -m carousel_bench`."""

import sys

from carousel_bench.command import main

# Also imported by each load process, which is none of this command.
if __name__ == "__main__":
    sys.exit(main())
