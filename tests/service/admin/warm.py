"""Runs of the tool in forks of a process that has imported it: its imports take ten times longer
than what it does.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from carousel.service.admin.command import main
from tests.harness.process import PATIENCE_S, Ended, ProcessError

_FORKING = multiprocessing.get_context("forkserver")
# What each verb imports when it is asked for.
_FORKING.set_forkserver_preload(
    [__name__, "carousel.service.admin.offline", "carousel.service.admin.remote"]
)


def run_warm(arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> Ended:
    """Run the tool to its end, in a process and with an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKING.Process(target=_run, args=(arguments, env, cwd, out, err))
        process.start()
        process.join(PATIENCE_S)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
        process.close()
        ended = Ended(-1 if code is None else code, out.read_text(), err.read_text())
    if code is None:
        raise ProcessError(f"{arguments}: it did not end: {ended}")
    return ended


def _run(arguments: Sequence[str], env: Mapping[str, str], cwd: Path, out: Path, err: Path) -> None:
    for number, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.exit(main(arguments))
