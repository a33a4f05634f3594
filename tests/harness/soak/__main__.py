"""The command line: `python -m tests.harness.soak`. What the package is:

    churn     clients that open, step, fork and end sessions over `/v1`, sequences over `/v2` (some
              are never ended), streams, bulk requests and errors of each kind
    memory    a sample every few seconds; after the warm-up the slope by least squares
    progress  samples and counts, so that a run can be stopped and continued

What is kept by contract grows first and levels off: an ended sequence's last reply for ten minutes,
sessions until they expire (here within a minute). So do the interpreter's pools, some times later.
The warm-up is longer than all that. What grows after it is a leak.
"""

import sys

from tests.harness.soak.command import main

if __name__ == "__main__":
    sys.exit(main())
