"""The command line: `python -m service.admin`."""

import sys

from service.admin.command import main

if __name__ == "__main__":
    sys.exit(main())
