"""The command line: `python -m carousel.service.admin`."""

import sys

from carousel.service.admin.command import main

if __name__ == "__main__":
    sys.exit(main())
