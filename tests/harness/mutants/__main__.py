"""The command line: `python -m tests.harness.mutants`. What the package is:

    subjects    which modules are changed, and which tests belong to each: a table
    operators   what is changed: of cosmic-ray, and statements that are left out
    planter     a module's source -> its mutants, each the whole source with one change
    equivalent  changes that change nothing, with the reason each (equivalent.toml)
    tree        a copy of the repository, in which a mutant stands and its tests run
    progress    what became of each, so that a run can be stopped and continued
    report      caught and alive by module; each one alive with its line and its change

A mutant is caught when one of the module's own tests fails, or when they take so long that they
must be in a loop. One that is alive shows a promise that no test holds, or changes nothing.
"""

import sys

from tests.harness.mutants.command import main

if __name__ == "__main__":
    sys.exit(main())
